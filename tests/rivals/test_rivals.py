"""Rivals of self-attention compute what they say, see what they say, and are refused where they make no sense."""

import warnings
from typing import Any

import onnxruntime as ort
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitrail.attention import MECHANISMS, fitted
from vitrail.errors import UsageError
from vitrail.images.canvas import InputRule
from vitrail.models import ViT
from vitrail.models.network import count_flops
from vitrail.rivals import RIVALS, Rival

GRID = (4, 5)
FORMS = [("fc", {}), ("fc", {"reach": 1}), ("lstm", {}), ("gru", {})]
WIDTH = 8


def made(name: str, **options: int) -> Any:
    torch.manual_seed(0)
    return fitted(RIVALS[name], GRID, 0, **options)(WIDTH).double().eval()


def vectors(count: int = 20, batch: int = 3) -> Tensor:
    return torch.randn(batch, count, WIDTH, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_fc_without_a_window_is_one_layer_for_each_vector() -> None:
    module, x = made("fc"), vectors()
    layer = module.window
    torch.testing.assert_close(module(x), F.linear(x, layer.weight[:, :, 0, 0], layer.bias), atol=1e-12, rtol=0)


@pytest.mark.parametrize("reach", [1, 2])
def test_fc_with_a_window_is_one_matrix_for_all_cells_in_it(reach: int) -> None:
    """Written out: cells around laid end to end, zeros beyond the border."""
    module, x = made("fc", reach=reach), vectors()
    side = 2 * reach + 1
    cells = x.unflatten(1, GRID)
    padded = F.pad(cells, (0, 0, reach, reach, reach, reach))
    weight = module.window.weight.permute(0, 2, 3, 1).flatten(1)  # [D, side · side · D]
    for row in range(GRID[0]):
        for column in range(GRID[1]):
            around = padded[:, row : row + side, column : column + side].flatten(1)
            expected = around @ weight.T + module.window.bias
            torch.testing.assert_close(module(x)[:, row * GRID[1] + column], expected, atol=1e-12, rtol=0)
    assert sum(one.numel() for one in module.parameters()) == side**2 * WIDTH**2 + WIDTH


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_two_directions_are_two_networks(name: str) -> None:
    """One reads as it is, the other backwards."""
    module, x = made(name), vectors()
    halves = []
    for suffix in ("", "_reverse"):
        kind: Any = {"lstm": nn.LSTM, "gru": nn.GRU}[name]
        one = kind(WIDTH, WIDTH // 2, batch_first=True).double()
        one.load_state_dict({key: module.rnn.state_dict()[f"{key}{suffix}"] for key in one.state_dict()})
        halves.append(one(x.flip(1))[0].flip(1) if suffix else one(x)[0])
    torch.testing.assert_close(module(x), module.proj(torch.cat(halves, dim=2)), atol=1e-12, rtol=0)


@pytest.mark.parametrize(("name", "reach", "seen"), [("fc", 0, 1), ("fc", 1, 9), ("lstm", None, 20), ("gru", None, 20)])
def test_a_rival_sees_as_far_as_it_says(name: str, reach: int | None, seen: int) -> None:
    """The output of a cell in the middle has a gradient from so many cells."""
    module, x = made(name, **({} if reach is None else {"reach": reach})), vectors(batch=1).requires_grad_()
    module(x)[0, 7].sum().backward()
    assert x.grad is not None
    assert int((x.grad[0].abs().sum(dim=1) > 0).sum()) == seen


@pytest.mark.parametrize(("name", "options"), FORMS)
def test_masked_vectors_have_no_effect(name: str, options: dict[str, int]) -> None:
    module, x = made(name, **options), vectors()
    seen = torch.rand(3, 1, 1, 20, generator=torch.Generator().manual_seed(2)) < 0.6
    seen[2] = False  # nothing but padding
    valid = seen[:, 0, 0]
    other = torch.where(valid.unsqueeze(2), x, 100 * x.flip(0) - 3)
    outputs = module(x, attn_mask=seen), module(other, attn_mask=seen)
    torch.testing.assert_close(outputs[0][valid], outputs[1][valid], atol=1e-12, rtol=0)
    assert torch.isfinite(outputs[0]).all()


@pytest.mark.parametrize(("name", "options"), FORMS)
def test_padding_changes_nothing(name: str, options: dict[str, int]) -> None:
    """Two rows of the grid are as if there were no others behind them; and so for each image on its own."""
    module, x = made(name, **options), vectors()
    torch.manual_seed(0)
    small: Any = fitted(RIVALS[name], (2, 5), 0, **options)(WIDTH).double().eval()
    small.load_state_dict(module.state_dict())
    lengths = torch.tensor([10, 20, 10])
    seen = (torch.arange(20) < lengths[:, None])[:, None, None]
    padded = module(x, attn_mask=seen)
    for image in (0, 2):
        torch.testing.assert_close(padded[image, :10], small(x[image : image + 1, :10])[0], atol=1e-12, rtol=0)
    torch.testing.assert_close(padded[1], module(x)[1], atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_padding_in_between_changes_nothing(name: str) -> None:
    """The vectors are read as if there were no others, and by no gradient do those have a part."""
    module, x = made(name), vectors().requires_grad_()
    valid = torch.ones(20, dtype=torch.bool)
    valid[[0, 3, 4, 11, 18, 19]] = False
    padded = module(x, attn_mask=valid.expand(3, 1, 1, 20))
    torch.testing.assert_close(padded[:, valid], module(x[:, valid]), atol=1e-12, rtol=0)
    padded[:, valid].square().sum().backward()
    assert x.grad is not None
    assert not x.grad[:, ~valid].any()
    assert (x.grad[:, valid].abs().sum(dim=2) > 0).all()


@pytest.mark.parametrize("name", ["gru", pytest.param("lstm", marks=pytest.mark.long)])
def test_padding_changes_nothing_in_onnx(name: str) -> None:
    module = made(name).float()
    x, seen = vectors().float(), torch.ones(3, 1, 1, 20, dtype=torch.bool)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        batch = {0: torch.export.Dim("batch")}
        shapes = {"x": batch, "attn_mask": batch}
        program = torch.onnx.export(module, (x, seen), dynamo=True, dynamic_shapes=shapes, verbose=False)
    assert program is not None
    session = ort.InferenceSession(program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]
    for lengths in ([20, 7, 1], [3, 20]):
        some = x[: len(lengths)]
        mask = (torch.arange(20) < torch.tensor(lengths)[:, None])[:, None, None]
        (outputs,) = session.run(None, dict(zip(names, (some.numpy(), mask.numpy()), strict=True)))
        for image, length in enumerate(lengths):
            alone = module(some[image : image + 1, :length])[0].detach()
            torch.testing.assert_close(torch.from_numpy(outputs)[image, :length], alone, atol=1e-5, rtol=0)


def test_no_gradient_reaches_far_through_a_memory_at_its_start() -> None:
    """From the last of 128 vectors to the first: the lecture's reason for attention."""
    torch.manual_seed(0)
    x = torch.randn(1, 128, 32, dtype=torch.float64, requires_grad=True)
    far: dict[str, float] = {}
    kinds: dict[str, Any] = {"lstm": RIVALS["lstm"], "softmax": MECHANISMS["softmax"]}
    for name, kind in kinds.items():
        module: Any = fitted(kind, (8, 16), 0)(32, num_heads=4).double()
        x.grad = None
        module(x)[0, -1].norm().backward()
        assert x.grad is not None
        far[name] = float(x.grad[0, 0].norm() / x.grad[0, -1].norm())
    assert far["lstm"] < 1e-12
    assert far["softmax"] > 1e-3


def test_what_makes_no_sense_is_refused() -> None:
    sizes: dict[str, Any] = {"patch": 2, "width": 16, "depth": 1, "heads": 2}
    refused: list[tuple[dict[str, Any], str]] = [
        ({"attention": "fc", "pool": "token"}, "a class token is none: choose another pool"),
        ({"attention": {"name": "fc", "reach": 4}}, "a reach of 4 is more than all of the 4×4 grid: choose at most 3"),
        ({"attention": {"name": "fc", "reach": -1}}, "reach of the attention fc must be at least 0, not -1"),
        ({"attention": "lstm", "positions": "relative"}, "relative positions act inside attention, and lstm takes its"),
        ({"attention": "gru", "positions": "rope"}, "rope positions act inside attention"),
        ({"attention": {"name": "lstm", "reach": 1}}, "lstm has no setting 'reach'"),
        ({"attention": "lstm", "width": 15, "heads": 3}, "two directions share the width of 15: choose an even one"),
        ({"attention": "ltsm"}, "did you mean lstm"),
    ]
    for options, message in refused:
        with pytest.raises(UsageError, match=message):
            ViT(**sizes | options).build(5, 8)
    with pytest.raises(UsageError, match="no order"):
        made("lstm")(vectors(), is_causal=True)
    with pytest.raises(UsageError, match="can mask vectors, but no pairs"):
        made("lstm")(vectors(), attn_mask=torch.ones(20, 20, dtype=torch.bool))


def test_an_lstm_is_counted_as_by_hand() -> None:
    """One block on 4 × 4 cells: four gates, each from a vector and a state; two directions."""
    plain: dict[str, Any] = {"patch": 2, "width": 16, "depth": 1, "heads": 2}
    fc, lstm = (count_flops(ViT(**plain, attention=name).build(5, 8), InputRule(8)) for name in ("fc", "lstm"))
    of_fc = 2 * 16 * 16 * 16
    of_lstm = 2 * 16 * (2 * 4 * 8 * (16 + 8) + 16 * 16)
    assert lstm - fc == of_lstm - of_fc


def test_rivals_are_modules_that_timm_makes() -> None:
    network: Any = ViT(patch=2, width=16, depth=2, heads=2, attention="gru", dropout=0.5).build(5, 8)
    assert all(isinstance(block.attn, Rival) for block in network.blocks)
    assert network.blocks[0].attn.proj_drop.p == 0.5
