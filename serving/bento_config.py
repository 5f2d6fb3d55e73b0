"""BentoML's configuration of the service, as far as it holds here: traffic, GPUs, and where traces go."""

import os
from typing import Any

from opentelemetry.trace import TracerProvider
from opentelemetry.util.http import ExcludeList

from vitrail.runtime.providers import GPU_PROVIDERS
from vitrail.serving.settings import CONCURRENCY_VARIABLE, DEADLINE_VARIABLE, GPUS_VARIABLE, provider


def adopt_traffic(service: str) -> None:
    """Set the deadline and the most requests at once as BentoML's configuration says; variables that are set stay."""
    from bentoml._internal.configuration.containers import BentoMLContainer

    traffic: dict[str, Any] = BentoMLContainer.config.services[service].traffic.get()
    for variable, key in ((DEADLINE_VARIABLE, "timeout"), (CONCURRENCY_VARIABLE, "max_concurrency")):
        if traffic.get(key) is not None:
            os.environ.setdefault(variable, str(traffic[key]))


def adopt_resources(service: str) -> None:
    """Compute on as many GPUs as BentoML's configuration gives the service, which BentoML shows to its worker."""
    from bentoml._internal.configuration.containers import BentoMLContainer

    resources: dict[str, Any] = BentoMLContainer.config.services[service].resources.get() or {}
    gpus, is_on_cpu = resources.get("gpu") or 0, provider() not in ("auto", *GPU_PROVIDERS)
    if gpus > 1 and not is_on_cpu:
        os.environ.setdefault(GPUS_VARIABLE, str(int(gpus)))


def exporting_traces() -> tuple[TracerProvider, ExcludeList] | None:
    """BentoML's tracer, and the paths that are left out; None where it has no exporter or samples nothing."""
    from bentoml._internal.configuration.containers import BentoMLContainer

    config = BentoMLContainer.tracing
    if not (config.exporter_type.get() and config.sample_rate.get()):
        return None
    return BentoMLContainer.tracer_provider.get(), BentoMLContainer.tracing_excluded_urls.get()


def tracing_section() -> dict[str, Any] | None:
    """The section of the configuration that says where traces go; None where they go nowhere."""
    from bentoml._internal.configuration.containers import BentoMLContainer

    if exporting_traces() is None:
        return None
    section: dict[str, Any] = BentoMLContainer.config.get()["tracing"]
    return section


def adopt_tracing(section: dict[str, Any]) -> None:
    """In a process that has not loaded the service, whose configuration may have a section of its own."""
    from bentoml._internal.configuration.containers import BentoMLContainer

    BentoMLContainer.config.set({**BentoMLContainer.config.get(), "tracing": section})


def context() -> dict[str, str | int | None]:
    """What BentoML's worker knows of its service, for the processes that it starts."""
    from bentoml._internal.context import server_context

    names = ("service_type", "service_name", "worker_index", "bento_name", "bento_version")
    return {name: getattr(server_context, name) for name in names}


def identity() -> tuple[str, str]:
    """Name and version of the service, or of its Bento, as BentoML labels its metrics."""
    from bentoml._internal.context import server_context

    return server_context.bento_name, server_context.bento_version
