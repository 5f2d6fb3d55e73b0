# Everything a newcomer runs; each target makes .venv first where it is missing or out of date.

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
RUNTIME := $(shell [ "$$(uname -sm)" = "Linux x86_64" ] && echo gpu || echo cpu)
MODEL ?= model.onnx
PORT ?= 3000
STAY ?= 1
BIN := .venv/bin
READY := .venv/.ready
# Two processes, a file of tests to each at a time; torch has one thread in either, or they would wait for each other.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

.PHONY: help demo test test-long fmt lint check serve peers

help:
	@echo "make demo        train on the embedded digits, export, serve, ask over HTTP (STAY=0 ends after the answer)"
	@echo "make test        all tests that fit in a coffee break"
	@echo "make test-long   the long ones"
	@echo "make fmt         format the code"
	@echo "make lint        ruff and mypy"
	@echo "make check       lint and test"
	@echo "make peers       what vitrail bench compares with, in environments of its own under .peers (6 GB)"
	@echo "make serve       serve MODEL=model.onnx on PORT=3000"

$(READY): pyproject.toml constraints.txt
	@[ -n "$(PYTHON)" ] || { echo "vitrail needs Python 3.11 or newer; none was found"; exit 1; }
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv
	@echo "Installing into .venv (a few minutes and 5 GB the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable '.[$(RUNTIME),train,export,serve,ray,dev]'
	@touch $@

demo: $(READY)
	@$(BIN)/vitrail demo $(if $(filter 0,$(STAY)),--no-stay)

test: $(READY)
	@$(PYTEST) -m "not long"

test-long: $(READY)
	@$(BIN)/python -m pytest -m long # alone: some of them measure

fmt: $(READY)
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

lint: $(READY)
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy

check: lint test

serve: $(READY)
	@$(BIN)/vitrail serve $(MODEL) --port $(PORT)

# Peers' pins clash with ours: each NAME.txt of src/vitrail/bench/peers becomes an environment .peers/NAME.
peers: $(patsubst src/vitrail/bench/peers/%.txt,.peers/%/.ready,$(wildcard src/vitrail/bench/peers/*.txt))

.peers/%/.ready: src/vitrail/bench/peers/%.txt
	@[ -n "$(PYTHON)" ] || { echo "peers need Python 3.11 or newer; none was found"; exit 1; }
	@[ -x .peers/$*/bin/python ] || $(PYTHON) -m venv .peers/$*
	@echo "Installing into .peers/$* (a few minutes)"
	@.peers/$*/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@
