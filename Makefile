# Everything a newcomer runs; each target makes .venv first where it is missing or out of date.

ifndef PYTHON # once: `?=` would search again at each use
PYTHON := $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
endif
RUNTIME := $(shell [ "$$(uname -sm)" = "Linux x86_64" ] && echo gpu || echo cpu)
MODEL ?= model.onnx
PORT ?= 3000
STAY ?= 1
BIN := .venv/bin
READY := .venv/.ready
TESTS ?= tests
# Two processes, a file of tests to each at a time, in the order of their names: else files with few and long tests would
PYTEST := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder --timeout 600

.PHONY: help demo test test-long coverage fmt lint check serve docs dist floors peers

help:
	@echo "make demo        build a model of the embedded digits, serve it, classify over HTTP (STAY=0 ends there)"
	@echo "make test        all tests but the long ones"
	@echo "make test-long   large fuzzing runs, coverage of intervals, Ray clusters, fits in several processes"
	@echo "make coverage    make test with branch coverage, report in .coverage-html (TESTS=tests/test_cli.py: some files)"
	@echo "make fmt         format the code"
	@echo "make lint        ruff and mypy"
	@echo "make check       lint and test"
	@echo "make docs        documentation and API reference in site/, in an environment of its own under .docs"
	@echo "make dist        wheel and sdist in dist/, each tried in an empty environment (5 GB for a while)"
	@echo "make floors      tests with the lowest versions allowed, in .floors (5 GB; TESTS=tests/test_cli.py: some files)"
	@echo "make peers       what vitrail bench compares with, in environments of its own under .peers (6 GB)"
	@echo "make serve       serve MODEL=model.onnx on PORT=3000"

$(READY): pyproject.toml constraints.txt
	@[ -n "$(PYTHON)" ] || { echo "vitrail needs Python 3.11 or newer; none was found"; exit 1; }
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv
	@echo "Installing into .venv (a few minutes and 5 GB the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable '.[$(RUNTIME),openvino,train,data,export,serve,grpc,ray,dev]'
	@touch $@

demo: $(READY)
	@$(BIN)/vitrail demo $(if $(filter 0,$(STAY)),--no-stay)

test: $(READY)
	@$(PYTEST) -m "not long"

test-long: $(READY)
	@$(BIN)/python -m pytest --timeout 7200 -m long # alone: some of them measure
	@PROCESSES=2 $(PYTEST) -m "not long" tests/serving
	@PROCESSES=2 HAND_OVER=1 $(PYTEST) -m "not long" tests/serving
	@PROCESSES=4 $(PYTEST) -m "not long" tests/serving

coverage: $(READY)
	@$(PYTEST) -m "not long" --cov --cov-report=term --cov-report=html $(TESTS)

fmt: $(READY)
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

lint: $(READY)
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy

check: lint test

serve: $(READY)
	@$(BIN)/vitrail serve $(MODEL) --port $(PORT)

# Docstrings are read, not imported: neither torch nor onnxruntime is installed here.
.docs/.ready: pyproject.toml constraints.txt
	@[ -n "$(PYTHON)" ] || { echo "vitrail needs Python 3.11 or newer; none was found"; exit 1; }
	@[ -x .docs/bin/python ] || $(PYTHON) -m venv .docs
	@.docs/bin/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable '.[docs]'
	@touch $@

docs: .docs/.ready
	@NO_MKDOCS_2_WARNING=1 .docs/bin/mkdocs build --strict --quiet && echo "site/index.html"

dist: $(READY)
	@rm -rf dist && $(BIN)/python -m build --outdir dist .
	@for package in dist/*; do PYTHON=$(BIN)/python .ci/try-package $$package '$(RUNTIME),openvino,train,export,serve' || exit; done

# onnxruntime's CPU wheel: the floor of [gpu] is newer than that of [cpu].
.floors/.ready: pyproject.toml .ci/floors.py
	@[ -n "$(PYTHON)" ] || { echo "vitrail needs Python 3.11 or newer; none was found"; exit 1; }
	@rm -rf .floors && $(PYTHON) -m venv .floors
	@$(PYTHON) .ci/floors.py cpu openvino train data export serve grpc ray dev >.floors/floors.txt
	@echo "Installing into .floors (a few minutes and 5 GB)"
	@.floors/bin/python -m pip install --quiet --disable-pip-version-check \
		--constraint .floors/floors.txt --editable '.[cpu,openvino,train,data,export,serve,grpc,ray,dev]'
	@touch $@

floors: .floors/.ready
	@OMP_NUM_THREADS=1 .floors/bin/python -m pytest --numprocesses 2 --dist loadfile -m "not long" $(TESTS)

# Peers' pins clash with ours: each NAME.txt of src/vitrail/bench/peers becomes an environment .peers/NAME.
peers: $(patsubst src/vitrail/bench/peers/%.txt,.peers/%/.ready,$(wildcard src/vitrail/bench/peers/*.txt))

.peers/%/.ready: src/vitrail/bench/peers/%.txt
	@[ -n "$(PYTHON)" ] || { echo "peers need Python 3.11 or newer; none was found"; exit 1; }
	@[ -x .peers/$*/bin/python ] || $(PYTHON) -m venv .peers/$*
	@echo "Installing into .peers/$* (a few minutes)"
	@.peers/$*/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@
