"""Fixtures of the GPU tests: an untrained model file, and skips for missing providers."""

from collections.abc import Callable
from pathlib import Path

import pytest

from vitrail.runtime.providers import Provider


@pytest.fixture(scope="session")
def seeded_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small ViT with seeded weights as `vitrail export` writes it: canvas 32, 1000 classes."""
    pytest.importorskip("onnxscript")
    from vitrail.bench.gpu.plan import Plan
    from vitrail.bench.gpu.subject import model_file

    return model_file(Plan(name="test_vit", size=32), tmp_path_factory.mktemp("seeded"))


@pytest.fixture(scope="session")
def needs() -> Callable[[Provider], None]:
    """Skips the test where onnxruntime lacks the provider; a provider that is present and broken must fail."""

    def require(provider: Provider) -> None:
        from vitrail.bench.gpu.steps import Absent
        from vitrail.bench.gpu.subject import require_provider

        try:
            require_provider(provider)
        except Absent as fault:
            pytest.skip(str(fault))

    return require


@pytest.fixture
def needs_cuda(needs: Callable[[Provider], None]) -> None:
    needs("cuda")


@pytest.fixture
def needs_tensorrt(needs: Callable[[Provider], None]) -> None:
    needs("tensorrt")
