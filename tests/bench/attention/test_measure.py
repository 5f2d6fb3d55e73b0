"""`vitrail bench attention`: slopes and peaks with known values, and the whole command on small grids."""

import json
import subprocess
import sys
from collections.abc import Iterator
from math import sqrt
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from vitrail.attention import MECHANISMS
from vitrail.bench.attention import measure as module
from vitrail.bench.attention.cases import PARTS, WIDTH, Case, peak, peak_bytes
from vitrail.bench.attention.distance import gradients
from vitrail.bench.attention.measure import (
    LeftOut,
    Plan,
    cases_with_memory,
    extrapolated_bytes,
    measure_part,
    slope,
    slopes,
)
from vitrail.bench.attention.table import number_text
from vitrail.cli import main
from vitrail.errors import UsageError
from vitrail.rivals import RIVALS

SMALL = Plan(sides=(2, 4), mechanisms=("softmax", "linear"), rounds=5, seconds=0.001)


def test_slopes_of_powers_are_their_exponents() -> None:
    sizes = [16, 64, 256]
    assert slope(sizes, [3.0 * size for size in sizes]) == pytest.approx(1)
    assert slope(sizes, [0.1 * size**2 for size in sizes]) == pytest.approx(2)
    assert slope(sizes, [7.0, 7.0, 7.0]) == pytest.approx(0)
    rounds = [[1.0, 2.0], [2.0, 8.0]]  # a row a size, a column a round
    assert slopes([10, 20], rounds) == pytest.approx([1, 2])


def test_peak_is_the_maximum_in_order_of_time() -> None:
    assert peak([]) == 0
    assert peak([(3, -50), (1, 100), (2, 20), (4, 60)]) == 130
    assert extrapolated_bytes(100, 16, 64) == 1600


def test_peak_of_a_call_includes_gradients_and_scores() -> None:
    relu = Case("mix", "relu", 16, 0)
    vectors = 3 * 256 * 64 * 4  # bytes of queries, keys or values
    scores = 3 * 256 * 256 * 4
    assert 3 * vectors + scores <= peak_bytes(relu) <= 8 * (vectors + scores)
    assert peak_bytes(relu) == peak_bytes(relu)
    assert relu.inputs[0].grad is not None


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("part", PARTS)
def test_step_runs_forward_and_backward(part: str, mechanism: str) -> None:
    case = Case(part, mechanism, 4, 0)  # type: ignore[arg-type]
    case.step()
    first = [tensor.grad.clone() for tensor in case.inputs]  # type: ignore[union-attr]
    case.step()
    for tensor, gradient in zip(case.inputs, first, strict=True):
        assert tensor.grad is not None
        assert torch.equal(tensor.grad, gradient)  # each call makes its own, none is added up
        assert gradient.abs().sum() > 0
    assert (case.module.qkv.weight.grad is not None) == (part != "mix")


@pytest.mark.parametrize("rival", RIVALS)
def test_a_rival_is_measured_as_a_whole(rival: str) -> None:
    cases = [Case(part, rival, 4, 0) for part in PARTS]
    for case in cases:
        case.step()
        assert all(one.grad is not None for one in case.module.parameters())
    assert torch.equal(cases[0].forward(), cases[1].forward())


@pytest.mark.parametrize("mechanism", [*MECHANISMS, *RIVALS])
def test_the_second_set_is_half_as_large(mechanism: str) -> None:
    case = Case("sets", mechanism, 4, 0)
    (vectors,) = case.inputs
    assert vectors.shape == (2, 16, WIDTH)
    before = case.forward()
    with torch.no_grad():
        vectors[1, 8:] = 100
    torch.testing.assert_close(case.forward()[0], before[0])
    torch.testing.assert_close(case.forward()[1, :8], before[1, :8])


def test_gradients_are_those_of_the_last_output_by_distance() -> None:
    """A window of reach 3 has none beyond it, fc none from any other vector; those of attention do not fade."""
    window, fc, softmax, lstm = (gradients(name, 0).norms for name in ("window", "fc", "softmax", "lstm"))
    assert all(norm > 0 for norm in window[:4])
    assert not any(window[4:])
    assert fc[0] > 0
    assert not any(fc[1:])
    assert max(softmax[1:]) < 3 * min(softmax[1:])
    assert lstm[64] < 1e-6 * lstm[0]


def test_mix_is_attention_of_three_heads() -> None:
    case = Case("mix", "softmax", 4, 0)
    q, k, v = case.inputs
    assert [tuple(each.shape) for each in case.inputs] == 3 * [(1, 3, 16, 64)]
    expected = F.softmax(q @ k.transpose(-2, -1) / sqrt(64), dim=-1) @ v
    torch.testing.assert_close(case.forward(), expected)


def test_all_sizes_are_measured_and_compared_within_rounds() -> None:
    measured = measure_part("mix", SMALL, lambda line: None)
    assert [(each.mechanism, each.vectors) for each in measured.results] == [
        ("softmax", 4), ("softmax", 16), ("linear", 4), ("linear", 16)
    ]  # fmt: skip
    assert {len(times) for times in measured.rounds.values()} == {5}
    result, growth = measured.result("linear", 16), measured.growth_of("linear")
    assert result is not None
    assert result.speedup is not None
    ratios = [a / b for a, b in zip(measured.rounds["softmax 16"], measured.rounds["linear 16"], strict=True)]
    assert (result.speedup.low, result.speedup.high) == pytest.approx((min(ratios), max(ratios)))
    by_hand = slopes([4, 16], [measured.rounds["linear 4"], measured.rounds["linear 16"]])
    assert growth.time is not None
    assert growth.time.value == pytest.approx(sorted(by_hand)[2])
    peaks = [each.peak_bytes for each in measured.results[2:]]
    assert growth.memory == pytest.approx(slope([4, 16], peaks))


def test_sizes_that_may_not_fit_into_memory_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    peak = peak_bytes(Case("mix", "additive", 4, 0))
    monkeypatch.setattr(module, "MAX_BYTES", 16 * peak - 1)
    first, second = cases_with_memory("mix", "additive", Plan(sides=(4, 8)))
    assert isinstance(first, tuple)
    assert second == LeftOut("additive", 64, 16 * peak)


def test_without_softmax_there_is_no_speedup() -> None:
    plan = Plan(sides=(4,), mechanisms=("linear",), rounds=5, seconds=0.001)
    measured = measure_part("mix", plan, lambda line: None)
    assert measured.results[0].speedup is None
    assert measured.growth_of("linear").time is None  # one size has no slope


def test_numbers_have_three_significant_digits() -> None:
    assert [number_text(number) for number in (0.123, 12.34, 1234.5)] == ["0.12", "12.3", "1,234"]


def test_the_whole_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv_in(tmp_path)) == 0
    check_report(capsys.readouterr().out, tmp_path)


@pytest.mark.long
def test_the_whole_command_in_a_process_of_its_own(tmp_path: Path) -> None:
    """Where nothing but progress is on stderr: the profiler reads its log level when torch is first imported."""
    command = [sys.executable, "-m", "vitrail", *argv_in(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    messages = done.stderr.splitlines()
    assert all(line.startswith(("mix: ", "module: ", "sets: ")) for line in messages), messages
    check_report(done.stdout, tmp_path)


def argv_in(folder: Path) -> list[str]:
    argv = ["bench", "attention", "--sides", "2,4", "--mechanisms", "softmax,window", "--rounds", "5"]
    files = ["--json", str(folder / "out.json"), "--plot", str(folder / "out.png")]
    return [*argv, "--seconds", "0.001", *files, "--markdown"]


def check_report(printed: str, folder: Path) -> None:
    report = json.loads((folder / "out.json").read_text())
    assert (report["kind"], report["width"], report["heads"]) == ("attention", 192, 3)
    assert [measured["part"] for measured in report["measured"]] == ["mix", "module", "sets"]
    lines = printed.splitlines()
    assert "|  | ms, N=4 | ms, N=16 | slope of time | × as fast as softmax, N=16 |" in lines
    assert "|  | MiB, N=4 | MiB, N=16 | slope of memory |" in lines
    assert len([line for line in lines if line.startswith("| window (reach 3) |")]) == 7
    assert [each["mechanism"] for each in report["gradients"]] == ["softmax", "window"]
    assert "|  | distance 1 | distance 4 | distance 16 | distance 64 | distance 127 |" in lines
    with Image.open(folder / "out.png") as image:
        assert image.format == "PNG"


def test_invalid_plans_are_refused() -> None:
    for change, reason in (
        ({"mechanisms": ("sofmax",)}, "did you mean softmax"),
        ({"rounds": 4}, "at least 5"),
        ({"sides": ()}, "at least 1 place"),
        ({"sides": (4, 4)}, "measured once"),
        ({"seconds": 0.0}, "more than 0 seconds"),
        ({"threads": 0}, "at least 1 thread"),
    ):
        with pytest.raises(UsageError, match=reason):
            Plan(**change)
    assert Plan(sides=(8, 4)).sides == (4, 8)


def test_wrong_use_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for argv, reason in (
        (["--sides", "4,x"], "several numbers are written"),
        (["--plot", "no/such/a.png"], "no folder for"),
    ):
        assert main(["bench", "attention", *argv]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert reason in line


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Each thread of torch's fused attention allocates memory."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_fused_softmax_has_linear_memory() -> None:
    """Fused attention keeps no N² numbers, so four times the vectors hold four times the memory."""
    small, large = (peak_bytes(Case("mix", "softmax", side, 0)) for side in (16, 32))
    assert large < 4.5 * small
