"""Probes: one for each network with weights, on the features that it has, each computed once."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from vitrail.data import Digits, Part, Samples
from vitrail.images.canvas import InputRule
from vitrail.training.study.baselines import features_of, logistic, measure_baselines
from vitrail.training.study.parsing import parse_study
from vitrail.training.study.plan import Contender
from vitrail.training.study.probes import FrozenFeatures, probes_of
from vitrail.training.study.resolved_plan import ResolvedPlan, resolve
from vitrail.training.study.store import read_baselines
from vitrail.training.study.weights import with_weights

from .conftest import MOBILE, VIT


@pytest.fixture
def resolved(pretrained_file: Path, weights: Path) -> ResolvedPlan:
    return resolve(with_weights(parse_study([f"--config={pretrained_file}"]).plan, weights), Digits())


def contender(name: str, network: str | None, weights: str | None) -> Contender:
    return Contender(name, {"net": {"init_args": {"name": network}}}, weights=weights)


def test_a_network_has_one_probe_however_often_it_is_tuned() -> None:
    slow, fast = contender("slow", VIT, "a"), contender("fast", VIT, "a")
    scratch, own = contender("scratch", VIT, None), contender("own", None, "b")
    assert probes_of([slow, fast, scratch, own]) == {f"probe of {VIT}": slow, "probe of own": own}


def test_other_weights_of_a_network_have_a_probe_called_after_the_contender() -> None:
    one, other = contender("one", VIT, "a"), contender("other", VIT, "b")
    assert probes_of([one, other]) == {"probe of one": one, "probe of other": other}


class Counting(Digits):
    """Notes the images that are read."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[Part, int]] = []

    def read(self, part: Part, rule: InputRule, chosen: NDArray[np.int64] | None = None) -> Samples:
        assert chosen is not None
        self.seen += [(part, index) for index in chosen.tolist()]
        return super().read(part, rule, chosen)


def test_features_are_those_of_the_network_and_each_is_computed_once(resolved: ResolvedPlan, weights: Path) -> None:
    source = Counting()
    frozen = FrozenFeatures(resolved, resolved.contender("CNN"), source)
    large, small = (features_of(resolved, source, size, frozen) for size in (60, 30))
    assert len(source.seen) == len(set(source.seen)) == 60 + len(source.labels("test"))
    assert sum(len(labels) for _, labels in small[:2]) == 30
    network: Any = timm.create_model(MOBILE).eval()
    network.load_state_dict(load_file(weights / f"{MOBILE}.safetensors"))
    images = torch.from_numpy(Digits().read("test", InputRule(32)).images).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(network.pretrained_cfg[one]).view(3, 1, 1) for one in ("mean", "std"))
    with torch.inference_mode():
        expected = network.forward_head(network.forward_features((images - mean) / std), pre_logits=True)
    np.testing.assert_allclose(small[2][0], expected.numpy(), rtol=1e-3, atol=1e-4)
    assert {row.tobytes() for row in small[0][0]} <= {
        row.tobytes() for row in np.concatenate([large[0][0], large[1][0]])
    }


def test_probes_are_among_the_baselines(resolved: ResolvedPlan, tmp_path: Path) -> None:
    said: list[str] = []
    measure_baselines(resolved, Digits(), tmp_path, said.append)
    probes = [one for one in read_baselines(tmp_path) if one.reads == "features"]
    assert [(one.name, one.size) for one in probes] == [
        (f"probe of {name}", size) for size in (30, 60) for name in (VIT, MOBILE)
    ]
    frozen = FrozenFeatures(resolved, resolved.contender("CNN"), Digits())
    train, val, (test, labels) = features_of(resolved, Digits(), 60, frozen)
    assert probes[-1].wrong == (logistic(*train, *val, test) != labels).sum()
    assert 0 < probes[-1].error < 0.9
    assert said == [f"baselines: majority, 1-NN, logistic regression, RBF-SVM, probe of {VIT}, probe of {MOBILE}"]
