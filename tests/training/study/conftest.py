"""Shared fixtures: a small plan of the digits that runs in seconds, and Ray clusters."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .nodes import ray_cluster

PLAN = """
name: small
data: {path: digits, size: 8, batch_size: 64}
sizes: [30, 60]
seeds: [0, 1, 2]
mode: equal-steps
steps: 4
validate_every: 2
rate_factors: [1, 3]
rate_seeds: [8, 9]
device: cpu
contenders:
  ViT:
    net:
      class_path: vitrail.models.ViT
      init_args: {patch: 4, width: 16, depth: 1, heads: 2}
    optimizer:
      class_path: torch.optim.AdamW
      init_args: {lr: 0.002, weight_decay: 0.05}
    mixup: 0.4
  CNN:
    net:
      class_path: vitrail.models.CNN
      init_args: {width: 8, stages: 2, blocks: 1}
    optimizer:
      class_path: torch.optim.AdamW
      init_args: {lr: 0.002, weight_decay: 0.05}
"""

VIT, MOBILE = "test_vit", "test_efficientnet"  # the smallest of timm
PRETRAINED = f"""
name: pretrained
data: {{path: digits, size: 32, batch_size: 32}}
sizes: [30, 60]
seeds: [0, 1, 2]
steps: 2
validate_every: 1
most_steps: 4
rate_factors: [1]
device: cpu
contenders:
  ViT:
    net: {{class_path: vitrail.models.ViT, init_args: {{name: {VIT}, pretrained: true}}}}
    optimizer: {{class_path: torch.optim.AdamW, init_args: {{lr: 0.001}}}}
    rates: {{head: 10, layer_decay: 0.75}}
  CNN:
    net: {{class_path: vitrail.models.CNN, init_args: {{name: {MOBILE}, pretrained: true}}}}
    optimizer: {{class_path: torch.optim.AdamW, init_args: {{lr: 0.001}}}}
    probe_first: true
    freeze_statistics: true
  Scratch:
    net: {{class_path: vitrail.models.CNN, init_args: {{stages: 2, blocks: 1}}}}
    optimizer: {{class_path: torch.optim.AdamW, init_args: {{lr: 0.001}}}}
    match: flops
    match_to: ViT
"""


@pytest.fixture(scope="package")
def latencies() -> Iterator[None]:
    """Studies measure the latency of a network once: most here have the same two, whose export takes seconds."""
    from vitrail.training.study.latency import milliseconds

    measured: dict[str, float] = {}

    def once(*arguments: Any) -> float:
        if repr(arguments) not in measured:
            measured[repr(arguments)] = milliseconds(*arguments)
        return measured[repr(arguments)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vitrail.training.study.study.milliseconds", once)
        yield


@pytest.fixture
def plan_file(tmp_path: Path, latencies: None) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(PLAN)
    return path


@pytest.fixture
def pretrained_file(tmp_path: Path, latencies: None) -> Path:
    path = tmp_path / "pretrained.yaml"
    path.write_text(PRETRAINED)
    return path


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Weights that were never trained, but load like those that were."""
    folder = tmp_path / "weights"
    folder.mkdir()
    for name in (VIT, MOBILE):
        write_weights(folder, name, seed=0)
    return folder


def write_weights(folder: Path, name: str, seed: int) -> Path:
    import timm
    import torch
    from safetensors.torch import save_file

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = timm.create_model(name)
    save_file(network.state_dict(), folder / f"{name}.safetensors")
    return folder / f"{name}.safetensors"


@pytest.fixture(scope="package")
def one_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Ray cluster with one core."""
    with ray_cluster(tmp_path_factory.mktemp("ray"), 1) as address:
        yield address


@pytest.fixture(scope="package")
def two_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Ray cluster of two nodes with a core each."""
    with ray_cluster(tmp_path_factory.mktemp("ray"), 2) as address:
        yield address


@pytest.fixture
def one_thread() -> Iterator[None]:
    """The threads of a run."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
