"""A set of two kinds of images, and a folder of weights of tiny networks of timm, for tests of builds."""

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

VIT, CNN = "test_vit", "test_efficientnet"


@pytest.fixture(scope="session")
def stripes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of 40 × 40 with lines across or down, 40 of each; noise makes every one different."""
    root, random = tmp_path_factory.mktemp("stripes") / "stripes", np.random.default_rng(0)
    for name, axis in (("across", 0), ("down", 1)):
        folder = root / name
        folder.mkdir(parents=True)
        for index in range(40):
            lines = 90 * np.sign(np.sin(np.arange(40) * random.uniform(0.6, 1.2) + random.uniform(0, 6)))
            image = 127 + np.expand_dims(lines, 1 - axis) + random.normal(0, 20, (40, 40))
            Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(folder / f"{index}.png")
    return root


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights that were never trained, but load like those that were."""
    folder = tmp_path_factory.mktemp("weights")
    for name in (VIT, CNN):
        torch.manual_seed(0)
        save_file(timm.create_model(name).state_dict(), folder / f"{name}.safetensors")
    return folder
