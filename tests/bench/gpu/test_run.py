"""`vitrail bench gpu`: time limits, rows and exit codes with scripted parts; and each real part, small, on the CPU."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from vitrail.bench.gpu import own_tests
from vitrail.bench.gpu.plan import MAX_MINUTES, NO_TIME, PARTS, SHARES, Plan, Row
from vitrail.bench.gpu.run import GRACE, GpuReport, Run
from vitrail.bench.gpu.steps import Absent, Steps
from vitrail.bench.gpu.table import line
from vitrail.cli import main
from vitrail.commands.bench import gpu as command
from vitrail.errors import ModelError, UsageError
from vitrail.runtime.providers import Provider

TINY = Plan(
    name="test_vit",  # timm's own for tests: 6 blocks of 64 wide, patches of 16
    train_names=("test_vit",),
    size=32,
    batches=(2,),
    train_batch=2,
    fed_names=("test_vit",),
    fed_steps=2,
    photos=6,
    recipes=("small-cnn",),
    fit_size=16,
    fit_steps=2,
    connections=(2,),
    rounds=5,
    seconds=0.01,
    load_seconds=0.3,
    matrix=32,
    compiled=False,
    providers=("cpu", "cuda", "tensorrt"),
    device="cpu",
)


def test_invalid_plans_are_refused() -> None:
    assert sum(SHARES.values()) == pytest.approx(1)
    for wrong in ({"parts": ("train", "nope")}, {"parts": ()}, {"minutes": 0}, {"minutes": MAX_MINUTES + 1},
                  {"minutes": float("nan")}, {"batches": (0,)}):  # fmt: skip
        with pytest.raises(UsageError):
            Plan(**wrong)
    assert Plan.from_plain(json.loads(json.dumps(asdict(TINY)))) == TINY


# A stand-in for the process of a part: a JSON argument has the action of each step that is not skipped.
SCRIPT = """
import json, os, sys, time
job, events = json.load(sys.stdin), os.fdopen(int(sys.argv[-1]), "w")
actions = json.loads(sys.argv[1]).get(job["part"], {"it": "measure"})
def send(**event):
    events.write(json.dumps(event) + "\\n")
    events.flush()
def row(name, status="measured", **figures):
    send(event="row", row={"part": job["part"], "name": name, "status": status, "figures": figures, "reason": ""})
for name, action in actions.items():
    if name in job["skip"]:
        continue
    send(event="begin", name=name, max_seconds=0.4)
    if action == "crash":
        sys.exit("ValueError: out of luck")
    if action == "segfault":
        os.kill(os.getpid(), 11)
    if action == "hang":
        time.sleep(600)
    if action == "fail":
        row(name, "failed")
    elif action == "absent":
        row(name, "absent")
    elif action != "prepare":
        row(name, seconds=job["seconds"])
    send(event="prepared" if action == "prepare" else "end", name=name)
send(event="done")
"""

Scripted = Callable[..., Run]


@pytest.fixture
def scripted(tmp_path: Path) -> Scripted:
    """Runs whose parts are the script, with an action for each step."""
    script = tmp_path / "part.py"
    script.write_text(SCRIPT)

    def run(actions: dict[str, Any], parts: tuple[str, ...] = PARTS, minutes: float = 1.0, **options: Any) -> Run:
        plan = Plan(parts=parts, minutes=minutes, device="cpu")
        return Run(plan, command=[sys.executable, "-S", str(script), json.dumps(actions)], **options)

    return run


def outcomes(report: GpuReport) -> list[tuple[str, str, str, str]]:
    return [(row.part, row.name, row.status, row.reason) for row in report.rows]


def test_parts_are_measured_in_order(scripted: Scripted) -> None:
    seen: list[Row] = []
    run = scripted({}, on_row=seen.append)
    report = run.measure()
    assert outcomes(report) == [(part, "it", "measured", "") for part in ("device", *PARTS)]
    assert tuple(seen) == report.rows
    assert (report.finished, report.failed, report.no_device) == (True, False, None)


def test_step_that_ends_its_process_does_not_affect_others(scripted: Scripted) -> None:
    steps = {"first": "prepare", "a": "measure", "b": "crash", "c": "segfault", "d": "hang", "e": "fail", "f": "absent"}
    report = scripted({"train": steps}, parts=("train", "serve")).measure()
    assert outcomes(report)[1:] == [
        ("train", "a", "measured", ""),
        ("train", "b", "failed", "ValueError: out of luck"),
        ("train", "c", "failed", "the process was ended by SIGSEGV"),
        ("train", "d", "failed", "took longer than 0.4 s"),
        ("train", "e", "failed", ""),
        ("train", "f", "absent", ""),
        ("serve", "it", "measured", ""),
    ]
    assert report.failed


def test_steps_without_time_are_rows(scripted: Scripted) -> None:
    """The clock jumps: the running part is stopped, and later ones do not start."""
    now = [0.0]

    def clock() -> float:
        now[0] += 0.000001
        return now[0]

    def jump(row: Row) -> None:
        if row.part == "infer":
            time.sleep(1.0)  # until the part says that it is at "b"
            now[0] += 3600

    report = scripted({"infer": {"a": "measure", "b": "hang"}}, clock=clock, on_row=jump).measure()
    assert outcomes(report) == [
        ("device", "it", "measured", ""),
        ("tests", "it", "measured", ""),
        ("fit", "it", "measured", ""),
        ("infer", "a", "measured", ""),
        ("infer", "b, and all after it", "not run", NO_TIME),
        ("train", "train", "not run", NO_TIME),
        ("data", "data", "not run", NO_TIME),
        ("serve", "serve", "not run", NO_TIME),
    ]
    assert not report.failed


def test_slow_part_leaves_later_parts_their_share_of_time(scripted: Scripted) -> None:
    run = scripted({}, minutes=10.0, clock=lambda: 0.0)
    assert run.end + GRACE == pytest.approx(600)  # a part that is stopped at the end has the rest to end its servers
    assert run.end_of("tests") == pytest.approx(run.end * 0.2)
    assert run.end_of("fit") == pytest.approx(run.end * 0.17 / 0.8)  # all that tests did not use is shared
    assert run.end_of("serve") == pytest.approx(run.end)


@pytest.mark.parametrize(
    ("action", "later", "code"),
    [
        ("absent", [], 2),
        ("fail", ["no device: "] * len(PARTS), 1),
        ("hang", ["no device: took longer than 0.4 s"] * len(PARTS), 1),
    ],
)
def test_without_a_device_nothing_is_measured(
    action: str, later: list[str], code: int, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = scripted({"device": {"gpu": action}}).measure()
    assert [row.reason for row in report.rows[1:]] == later
    monkeypatch.setattr("vitrail.bench.gpu.run.Run", lambda plan, **options: scripted({"device": {"gpu": action}}))
    if code == 2:
        with pytest.raises(UsageError, match="there is no GPU to measure"):
            command.measure(report.plan, None)
    else:
        assert command.measure(report.plan, None) == code


def test_rows_are_printed_and_written_as_they_come(
    scripted: Scripted, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "gpu.json"
    states: list[tuple[bool, int]] = []

    def run(plan: Plan, on_row: Callable[[Row], None], on_report: Callable[[GpuReport], None]) -> Run:
        def reported(report: GpuReport) -> None:
            on_report(report)
            content = json.loads(file.read_text())
            states.append((content["finished"], len(content["rows"])))

        return scripted({"train": {"a": "fail"}}, parts=("train",), on_row=on_row, on_report=reported)

    monkeypatch.setattr("vitrail.bench.gpu.run.Run", run)
    assert command.measure(TINY, str(file)) == 1
    assert states == [(False, 1), (False, 2), (True, 2)]
    lines = capsys.readouterr().out.splitlines()
    assert [each.split() for each in lines if each.startswith("train")] == [["train", "a", "failed"]]
    assert lines[-1] == "2 rows in 0.0 minutes: 1 failed"
    content = json.loads(file.read_text())
    assert content["machine"]["gpu"] == "it"
    assert content["rows"][1] == asdict(Row("train", "a", "failed", {}))
    assert [path.name for path in tmp_path.iterdir() if "gpu.json" in path.name] == ["gpu.json"]


def test_terminated_run_leaves_its_rows_and_no_process(tmp_path: Path) -> None:
    script, file = tmp_path / "part.py", tmp_path / "gpu.json"
    script.write_text(SCRIPT.replace("max_seconds=0.4", "max_seconds=600"))
    steps = json.dumps({"train": {"a": "measure", "b": "hang"}})
    code = (
        "import functools, sys\n"
        "from vitrail.bench.gpu import run\n"
        "from vitrail.bench.gpu.plan import Plan\n"
        "from vitrail.commands.bench import gpu\n"
        f"run.Run = functools.partial(run.Run, command=[sys.executable, '-S', {str(script)!r}, {steps!r}])\n"
        "gpu.stop_servers_on_sigterm()\n"
        f"gpu.measure(Plan(parts=('train',), device='cpu'), {str(file)!r})\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for text in process.stdout:
        if text.startswith("train"):
            break
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 128 + signal.SIGTERM
    content = json.loads(file.read_text())
    assert (content["finished"], [row["name"] for row in content["rows"]]) == (False, ["it", "a"])
    assert not [each for each in Path("/proc").glob("[0-9]*/cmdline") if str(script) in read(each)]


def read(file: Path) -> str:
    try:
        return file.read_bytes().decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


class Sent(list[dict[str, Any]]):
    """Events of a part that runs in this process."""

    def steps(self, part: str, seconds: float = 600, skip: frozenset[str] = frozenset()) -> Steps:
        return Steps(part, self.append, seconds, skip, clock=lambda: 0.0)

    @property
    def rows(self) -> dict[str, Row]:
        return {event["row"]["name"]: Row(**event["row"]) for event in self if event["event"] == "row"}

    def named(self, kind: str) -> list[str]:
        return [event["name"] for event in self if event["event"] == kind]


def test_every_outcome_of_a_step_is_a_row() -> None:
    def fails(fault: Exception) -> Any:
        raise fault

    sent = Sent()
    steps = sent.steps("infer", seconds=10, skip=frozenset({"done"}))
    assert not steps.attempt("done", lambda: fails(AssertionError()), min_seconds=0, max_seconds=1)
    assert not steps.attempt("long", lambda: fails(AssertionError()), min_seconds=11, max_seconds=20)
    assert not steps.attempt("no wheel", lambda: fails(Absent("not here")), min_seconds=1, max_seconds=1)
    assert not steps.attempt("ours", lambda: fails(ModelError("wrong")), min_seconds=1, max_seconds=1)
    assert not steps.attempt(
        "memory", lambda: fails(RuntimeError("\nCUDA out of memory\n.")), min_seconds=1, max_seconds=1
    )
    assert steps.attempt("good", lambda: {"ms": 2.0}, min_seconds=1, max_seconds=7)
    assert steps.attempt("own rows", lambda: None, min_seconds=1, max_seconds=1)
    assert steps.attempt("base", lambda: None, min_seconds=1, max_seconds=1, prepares=True)
    with pytest.raises(KeyError):  # unforeseen: the process ends, and the run goes on without this step
        steps.attempt("bug", lambda: dict[str, Any]()["x"], min_seconds=1, max_seconds=1)
    assert {name: (row.status, row.reason) for name, row in sent.rows.items()} == {
        "long": ("not run", NO_TIME),
        "no wheel": ("absent", "not here"),
        "ours": ("failed", "wrong"),
        "memory": ("failed", "CUDA out of memory"),
        "good": ("measured", ""),
    }
    assert sent.named("begin") == ["no wheel", "ours", "memory", "good", "own rows", "base", "bug"]
    assert sent.named("end") == ["long", "no wheel", "ours", "memory", "good", "own rows"]
    assert sent.named("prepared") == ["base"]


def test_training_is_compared_with_the_ceiling(tmp_path: Path) -> None:
    from vitrail.bench.gpu import train

    sent = Sent()
    train.measure(TINY, sent.steps("train"), tmp_path)
    assert list(sent.rows) == [*(f"matrices, {name}" for name in train.PRECISIONS),
                               "test_vit, bf16, eager, batch 2"]  # fmt: skip
    assert {row.status for row in sent.rows.values()} == {"measured"}
    ceiling = sent.rows["matrices, bf16"].figures["tflops"]
    step = sent.rows["test_vit, bf16, eager, batch 2"].figures
    assert step["mfu"] == pytest.approx(step["tflops"] / ceiling)
    assert step["images_per_second"] == pytest.approx(2000 / step["ms"])
    assert step["ms_low"] <= step["ms"] <= step["ms_high"]
    # By hand: 4 patches of 16 × 16 × 3 become vectors of 64; with the class token 5 go through 6 blocks, each of which
    # has 10 × 64² weights and holds every vector against all 5, twice; a head of 1000. Two operations a weight.
    forward = 2 * (4 * 768 * 64 + 6 * 5 * (10 * 64**2 + 2 * 5 * 64) + 64 * 1000)
    flops = step["tflops"] * 1e12 * step["ms"] / 1000
    attention = 2 * 6 * 5 * 2 * 5 * 64  # not counted on CPUs by torch 2.11
    assert flops / (3 * TINY.train_batch) in (pytest.approx(forward), pytest.approx(forward - attention))


def test_operations_of_a_product_are_counted_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    from vitrail.bench.core.rounds import MedianInterval
    from vitrail.bench.gpu import train

    monkeypatch.setattr(train, "seconds_per_call", lambda *_: MedianInterval(1e-6, 1e-6, 1e-6, 1.0))
    import torch

    assert train.multiply(TINY, torch.float32) == pytest.approx(2 * 32**3 / 1e6)


def test_step_that_does_not_learn_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import torch

    from vitrail.bench.gpu import train

    monkeypatch.setattr(train, "training_step", lambda *_: lambda: torch.tensor(1.0))
    with pytest.raises(ModelError, match=r"did not fall: 1\.000, then 1\.000"):
        train.training(TINY, TINY.name, False, tmp_path)


@pytest.mark.long
def test_recipes_are_fitted_and_tested(tmp_path: Path) -> None:
    from vitrail.bench.gpu import fit

    sent = Sent()
    fit.measure(replace(TINY, images="digits"), sent.steps("fit"), tmp_path)
    ((name, row),) = sent.rows.items()
    assert (name, row.status, row.reason) == ("small-cnn, 2 steps on 16 × 16", "measured", "")
    assert 0 <= row.figures["accuracy_low"] <= row.figures["accuracy"] <= row.figures["accuracy_high"] <= 1
    assert row.figures["seconds"] > 0
    fit.measure(replace(TINY, images=str(tmp_path / "none")), sent.steps("fit"), tmp_path)
    assert sent.rows[name].status == "failed"
    fit.measure(TINY, sent.steps("fit"), tmp_path)
    assert (sent.rows[name].status, sent.rows[name].reason) == ("absent", "no images were given: --images DIR")


def test_the_accuracy_is_that_of_the_predictions(tmp_path: Path) -> None:
    import numpy as np

    from vitrail.bench.gpu.fit import accuracy_of

    file = tmp_path / "predictions.npz"
    np.savez(file, probabilities=[[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]], labels=[0, 1, 1, 0])
    assert (accuracy_of(file).hits, accuracy_of(file).total) == (2, 4)


@pytest.mark.usefixtures("roomy_disk")
def test_steps_fed_by_the_pipeline_are_compared_with_those_on_one_batch(tmp_path: Path) -> None:
    from vitrail.bench.gpu import data

    sent = Sent()
    data.measure(TINY, sent.steps("data"), tmp_path)
    assert {row.status for row in sent.rows.values()} == {"measured"}
    kept, pipeline, resident, fed = sent.rows.values()
    assert (kept.name, sent.named("prepared")) == ("6 photos of 640 × 480, decoded and kept", [kept.name])
    assert len(list(tmp_path.rglob("train/*/*.jpg"))) == 6
    assert pipeline.name == "pipeline alone, batch 2"
    assert [each.name for each in (resident, fed)] == ["test_vit, one resident batch, batch 2",
                                                       "test_vit, fed by the pipeline, batch 2"]  # fmt: skip
    for each in (resident, fed):
        assert each.figures["images_per_second"] == pytest.approx(2000 / each.figures["ms"])
    low, ratio, high = (fed.figures[f"of_resident{end}"] for end in ("_low", "", "_high"))
    assert 0 < low <= ratio <= high


def test_pipeline_without_room_for_its_cache_is_absent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from vitrail.bench.gpu import data

    monkeypatch.setattr("vitrail.data.image_store.usable_bytes", lambda folder: 0)
    sent = Sent()
    data.measure(TINY, sent.steps("data"), tmp_path)
    (row,) = sent.rows.values()
    assert row.status == "absent"
    assert row.reason == "the disk has no room for decoded photos: set TMPDIR to a folder with 6 GB"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What parts of one run share: the model file is written once."""
    return tmp_path_factory.mktemp("run")


def test_model_file_and_torch_are_compared(folder: Path) -> None:
    from vitrail.bench.gpu import infer

    sent = Sent()
    infer.measure(TINY, sent.steps("infer", skip=frozenset({"vitrail, CPU, fp16"})), folder)
    rows = sent.rows
    for size in TINY.batches:
        for name in ("torch, eager, bf16", "vitrail, CPU, fp32"):
            figures = rows[f"{name}, batch {size}"].figures
            assert figures["images_per_second"] == pytest.approx(1000 * size / figures["ms"])
            assert figures["max_logit_error"] < (1e-3 if "fp32" in name else 0.5)
        assert f"vitrail, CPU, fp16, batch {size}" not in rows
        served = rows[f"vitrail, CPU, as the server computes, batch {size}"].figures
        assert served["max_logit_error"] < 1e-3
    prepared = ["torch, eager, bf16", "vitrail, CPU, fp32", "vitrail, CPU, as the server computes"]
    assert sent.named("prepared") == prepared
    for provider in ("CUDA, fp32", "TensorRT, fp32", "CUDA with TF32, as the server computes"):
        assert rows[f"vitrail, {provider}"].status in ("absent", "failed")


def test_provider_that_is_not_in_the_wheel_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    from vitrail.bench.gpu import subject

    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    subject.require_provider("cpu")
    names: dict[Provider, str] = {"cuda": "CUDA", "cuda-tf32": "CUDA with TF32", "tensorrt": "TensorRT"}
    for provider, name in names.items():
        with pytest.raises(Absent, match=f"no {name} provider in this onnxruntime"):
            subject.require_provider(provider)
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["TensorrtExecutionProvider"])
    monkeypatch.setattr(subject, "has_tensorrt", lambda: False)
    with pytest.raises(Absent, match="no libnvinfer"):
        subject.require_provider("tensorrt")


def test_server_is_measured_under_load(folder: Path) -> None:
    from vitrail.bench.gpu import serve

    sent = Sent()
    others = frozenset({"server, CPU and auto processes"})
    serve.measure(replace(TINY, providers=("cpu", "tensorrt")), sent.steps("serve", skip=others), folder)
    figures = sent.rows["CPU, 2 connections"].figures
    assert figures["requests_per_second"] > 0
    assert 0 < figures["p50_ms"] <= figures["p99_ms"]
    assert figures["requests_failed"] == 0
    assert sent.rows["CPU, ready"].figures["seconds"] > 0
    assert sent.rows["server, TensorRT"].status in ("absent", "failed")


def test_each_gpu_test_is_a_row(tmp_path: Path) -> None:
    folder = tmp_path / "gpu"
    folder.mkdir()
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (folder / "conftest.py").write_text("")  # below the root, as in the repository: pytest then hashes its plugins
    (folder / "test_some.py").write_text(
        "import pytest\n"
        "def test_good(): pass\n"
        "def test_bad(): assert 1 == 2, 'not the same'\n"
        "@pytest.mark.skip('no TensorRT')\ndef test_absent(): pass\n"
        "@pytest.fixture\ndef broken(): raise ValueError('no file')\n"
        "def test_without_fixture(broken): pass\n"
    )
    (folder / "test_none.py").write_text("import not_there\n")
    code = (
        "import json, sys\nfrom pathlib import Path\n"
        "from vitrail.bench.gpu.own_tests import run_tests\nfrom vitrail.bench.gpu.steps import Steps\n"
        f"events = []\nrun_tests(Path({str(folder)!r}), Steps('tests', events.append, 1e9))\n"
        f"Path({str(tmp_path)!r}, 'rows.json').write_text(json.dumps([each['row'] for each in events]))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=tmp_path)
    rows = {row["name"]: (row["status"], row["reason"]) for row in json.loads((tmp_path / "rows.json").read_text())}
    assert rows.pop("gpu/test_none.py")[0] == "failed"
    assert rows == {
        "test_some.py::test_good": ("passed", ""),
        "test_some.py::test_bad": ("failed", "AssertionError: not the same"),
        "test_some.py::test_absent": ("absent", "no TensorRT"),
        "test_some.py::test_without_fixture": ("failed", "ValueError: no file"),
    }


def test_gpu_tests_are_absent_outside_a_checkout(tmp_path: Path) -> None:
    assert (own_tests.FOLDER / "test_cuda.py").is_file()
    with pytest.raises(Absent, match="checkout"):
        own_tests.run_tests(tmp_path / "none", Sent().steps("tests"))


def test_rows_are_readable() -> None:
    figures = {"images_per_second": 1234.4, "ms": 0.81, "mfu": 0.455}
    text = line(Row("train", "vit", "measured", figures))
    assert text.split("  ")[-1] == "1,234 images/s 0.810 ms 45.5% of the ceiling"
    assert line(Row("serve", "x", "not run", {}, NO_TIME)).endswith("  not run: no time left")
    assert line(Row("tests", "x", "passed", {"seconds": 0.5})).endswith("  passed: 0.5 s")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "there is no NVIDIA GPU on this machine"),
        (["--minutes", "26"], "at most 25 minutes"),
        (["--parts", "tests,soak"], "parts of this measurement are tests, fit, infer, train, data, serve"),
        (["--json", "none/here.json"], "no folder"),
        (["--nope"], "unrecognized arguments"),
    ],
)
def test_missing_gpu_or_wrong_options_exit_with_2(
    argv: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("vitrail.runtime.providers.has_nvidia_driver", lambda: False)
    assert main(["bench", "gpu", *argv]) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert (out, err.count("\n")) == ("", 1)
