"""The BentoML service: `bentoml serve vitrail.serving.service:Vitrail` starts here."""

import bentoml

from vitrail.serving.front import Fronted


@bentoml.service(name="vitrail", service_class=Fronted, workers=1)
class Vitrail:
    """Labels pictures with one vitrail model file. Its routes are those of `vitrail.serving.app`."""

    @bentoml.on_deployment  # type: ignore[untyped-decorator]  # BentoML ships it without types
    def prepare_parent() -> None:
        """Called once in the parent of the worker, before it starts one."""
        from vitrail.serving.arbiter import replace_workers_at_once
        from vitrail.serving.log_writer import log_without_waiting

        log_without_waiting()
        replace_workers_at_once()
