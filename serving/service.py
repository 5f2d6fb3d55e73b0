"""The BentoML service, for `bentoml serve vitrail.serving.service:Vitrail`."""

import bentoml

from vitrail.serving import settings
from vitrail.serving.asgi_service import ASGIService


@bentoml.service(name="vitrail", service_class=ASGIService, workers=1, traffic={"timeout": settings.DEADLINE})
class Vitrail:
    """Serves one vitrail model file, with the routes of `vitrail.serving.app`."""

    @bentoml.on_deployment  # type: ignore[untyped-decorator]  # BentoML makes it a static method
    def prepare() -> None:
        from vitrail.serving.arbiter import prepare_parent

        prepare_parent()
