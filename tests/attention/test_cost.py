"""The cost of attention against the number of vectors: operations are counted, not timed."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from vitrail.attention import MECHANISMS, SelfAttention, fitted
from vitrail.vectors.sets import Visible

LINEAR = ["linear", "window", "dilated", "graph", "inducing"]
QUADRATIC = ["softmax", "additive", "relu", "gpsa"]


def test_every_mechanism_is_counted() -> None:
    assert sorted([*LINEAR, *QUADRATIC]) == sorted(MECHANISMS)


class Numbers(TorchDispatchMode):
    """Counts the numbers that operators write."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not func.is_view:
            outputs = result if isinstance(result, tuple | list) else (result,)
            self.total += sum(output.numel() for output in outputs if isinstance(output, Tensor))
        return result


def work(name: str, side: int) -> Callable[[], None]:
    """Forward and backward of what lies between the projections; shapes alone, so that large sets cost nothing."""
    module: SelfAttention = fitted(MECHANISMS[name], (side, side), 0)(8, num_heads=1).to("meta")
    q, k, v = (torch.empty(1, 1, side**2, 8, device="meta", requires_grad=True) for _ in range(3))
    return lambda: module.mix(q, k, v, None).sum().backward()


def numbers(name: str, side: int) -> int:
    run = work(name, side)
    with Numbers() as counted:
        run()
    return int(counted.total)


def numbers_of_sets(name: str, side: int) -> int:
    """Of forward and backward of the whole module, the lookup included."""
    module: Any = fitted(MECHANISMS[name], (side, side), 0)(64, num_heads=1).to("meta")
    x = torch.empty(2, side**2, 64, device="meta", requires_grad=True)
    keys, positions = (torch.empty(shape, device="meta") for shape in ((2, 1, 1, side**2), (2, side**2, 2)))
    with Numbers() as counted:
        module(x, Visible(keys.bool(), positions.long())).sum().backward()
    return int(counted.total)


def operations(name: str, side: int) -> int:
    run = work(name, side)
    with FlopCounterMode(display=False) as counted:
        run()
    return int(counted.get_total_flops())


@pytest.mark.parametrize("name", LINEAR)
def test_four_times_the_vectors_cost_four_times_as_much(name: str) -> None:
    assert 3.5 < numbers(name, 64) / numbers(name, 32) <= 4.2
    if name != "graph":  # which multiplies number by number, and so has no operations that the counter knows
        assert 3.5 < operations(name, 64) / operations(name, 32) <= 4.2


@pytest.mark.parametrize("name", LINEAR)
def test_four_times_the_vectors_of_sets_cost_four_times_as_much(name: str) -> None:
    """And little more to look up where neighbours are, in a sorted list."""
    ratio = numbers_of_sets(name, 64) / numbers_of_sets(name, 32)
    assert 3.5 < ratio <= 4**1.15


@pytest.mark.parametrize("name", QUADRATIC)
def test_four_times_the_vectors_cost_sixteen_times_as_much(name: str) -> None:
    assert 15 < numbers(name, 64) / numbers(name, 32) <= 17


@pytest.mark.parametrize("name", ["softmax", "relu", "gpsa"])
def test_four_times_the_vectors_take_sixteen_times_the_operations(name: str) -> None:
    assert 15 < operations(name, 64) / operations(name, 32) <= 17


def test_a_window_computes_a_small_part_of_all_pairs() -> None:
    """Each tile of 64 queries has 14² keys: of 4,096 keys a query would have, one in 21 is left."""
    assert operations("softmax", 64) / operations("window", 64) == pytest.approx(4096 / 14**2, rel=0.01)


class Names(TorchDispatchMode):
    """Notes which operators are called."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen.add(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", ["softmax", "window", "dilated"])
@pytest.mark.parametrize("side", [8, 24])
def test_fused_attention_is_used_with_any_mask(name: str, side: int) -> None:
    """torch's fused operator takes masks of two or four dimensions; with others it computes step by step."""
    module = fitted(MECHANISMS[name], (side, side), 0)(8, num_heads=1)
    with Names() as called:
        module(torch.randn(2, side**2, 8))
    assert any("flash_attention" in one for one in called.seen)
