"""What tests of a GPU share: a model file that no training was needed for, and skips for what is not installed."""

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def seeded_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small ViT with seeded weights as `vitrail export` writes it: canvas 32, 1000 classes."""
    pytest.importorskip("onnxscript")
    from vitrail.bench.gpu.plan import Plan
    from vitrail.bench.gpu.subject import model_file

    return model_file(Plan(name="test_vit", size=32), tmp_path_factory.mktemp("seeded"))


@pytest.fixture(scope="session")
def needs() -> Callable[[str], None]:
    """Skips the test where onnxruntime has no such provider; one that is there and does not work must fail."""

    def needed(provider: str) -> None:
        from vitrail.bench.gpu.steps import Absent
        from vitrail.bench.gpu.subject import require_provider

        try:
            require_provider(provider)
        except Absent as fault:
            pytest.skip(str(fault))

    return needed


@pytest.fixture
def needs_cuda(needs: Callable[[str], None]) -> None:
    needs("cuda")


@pytest.fixture
def needs_tensorrt(needs: Callable[[str], None]) -> None:
    needs("tensorrt")
