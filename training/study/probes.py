"""Linear probes: what pretrained networks of a study know of its images before any of their weights is trained."""

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray

from vitrail.data import Part, Source
from vitrail.models.input import channels_first
from vitrail.training.data_module import ImageDataModule
from vitrail.training.features import FrozenNetwork
from vitrail.training.precision import PLAIN
from vitrail.training.study.building import build_module
from vitrail.training.study.plan import Contender
from vitrail.training.study.resolved_plan import ResolvedPlan

TOGETHER = 64  # images


def probes_of(contenders: Iterable[Contender]) -> dict[str, Contender]:
    """By name, a contender for each network with weights that any of them start from."""
    backbones: dict[tuple[str, str], Contender] = {}
    for one in contenders:
        if one.weights is not None:
            backbones.setdefault((one.model["net"]["init_args"].get("name") or one.name, one.weights), one)
    networks = [network for network, _ in backbones]
    return {
        f"probe of {network if networks.count(network) == 1 else one.name}": one
        for (network, _), one in backbones.items()
    }


class FrozenFeatures:
    """What the frozen network of a contender makes of images, each of them once: the subsets of a study are nested.

    In float32, so that they do not depend on what is fastest at the moment.
    """

    def __init__(self, resolved: ResolvedPlan, contender: Contender, source: Source) -> None:
        with torch.random.fork_rng(devices=[]):
            module, _ = build_module(contender, len(resolved.classes), resolved.rule)
        device = "cuda" if torch.cuda.is_available() and resolved.plan.device != "cpu" else "cpu"
        self.frozen = FrozenNetwork(module.net, module.input, device, PLAIN)
        self.source, self.rule = source, resolved.rule
        self.known: dict[Part, dict[int, NDArray[np.float32]]] = {"train": {}, "val": {}, "test": {}}

    def of(self, data: ImageDataModule, part: Part) -> NDArray[np.float32]:
        """[N, D], of the images that a run has in a part."""
        known = self.known[part]
        chosen = data.chosen.get(part, np.arange(data.count(part)))
        missing = np.array([index for index in chosen.tolist() if index not in known], np.int64)
        for some in np.split(missing, range(TOGETHER, len(missing), TOGETHER)):
            known.update(zip(some.tolist(), self.computed(part, some), strict=True))
        return np.stack([known[index] for index in chosen.tolist()])

    def computed(self, part: Part, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        if not len(indices):
            return np.empty((0, 0), np.float32)
        images = self.source.read(part, self.rule, indices).images
        features: NDArray[np.float32] = self.frozen.of_batch(channels_first(torch.from_numpy(images))).numpy()
        return features
