"""The BentoML service of a Bento packed for a GPU: it declares one, and does not start without one."""

import os
import subprocess
import sys
from pathlib import Path

import bentoml
from bentoml.exceptions import BentoMLException

import vitrail
from vitrail.runtime.providers import GPU_PROVIDERS
from vitrail.serving import settings
from vitrail.serving.asgi_service import ASGIService
from vitrail.serving.settings import PROVIDER_VARIABLE

DEFAULT = "cuda"


@bentoml.service(
    name="vitrail",
    service_class=ASGIService,
    workers=1,
    traffic={"timeout": settings.DEADLINE},
    resources={"gpu": 1},
    envs=[{"name": PROVIDER_VARIABLE, "value": DEFAULT}],  # the default of the image and of `bentoml serve` alike
)
class Vitrail:
    """Serves one vitrail model file on a GPU, with the routes of `vitrail.serving.app`."""

    @bentoml.on_deployment  # type: ignore[untyped-decorator]  # BentoML makes it a static method
    def require_gpu() -> None:
        """Runs once, before the port is bound; BentoML itself only warns about a missing GPU."""
        refuse_without_gpu(os.environ.get(PROVIDER_VARIABLE) or DEFAULT)

    @bentoml.on_deployment  # type: ignore[untyped-decorator]
    def prepare() -> None:
        from vitrail.serving.arbiter import prepare_parent

        prepare_parent()


def refuse_without_gpu(provider: str) -> None:
    """Refuse to start, with the reason, where the model fails its golden check on a GPU.

    The check runs in a child process, as this process would hold its CUDA context for as long as it serves. TensorRT
    is checked as CUDA, which it needs too, because building an engine takes minutes; the worker reports its own errors.
    """
    if provider not in GPU_PROVIDERS:
        return
    done = subprocess.run(
        [sys.executable, "-m", "vitrail", "verify", str(settings.model_path().absolute()), "--provider", DEFAULT],
        cwd=Path(vitrail.__file__).parents[1],  # a Bento carries the package without installing it
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines() or [f"exit code {done.returncode}"]
        raise BentoMLException(
            f"this Bento is packed for a GPU: {lines[-1].removeprefix('vitrail: ')}. "
            f"Set {PROVIDER_VARIABLE}=cpu (or auto) to serve it on the CPU"
        )
