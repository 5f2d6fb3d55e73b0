"""The BentoML service: `bentoml serve vitrail.serving.service:Vitrail` starts here."""

import warnings

import bentoml

from vitrail.serving.front import Fronted

warnings.filterwarnings("ignore", module=r"PIL\.")  # of images that are refused, and of EXIF that is ignored


@bentoml.service(name="vitrail", service_class=Fronted, workers=1)
class Vitrail:
    """Labels images with one vitrail model file. Its routes are those of `vitrail.serving.app`."""

    @bentoml.on_deployment  # type: ignore[untyped-decorator]  # BentoML makes it a static method
    def prepare() -> None:
        from vitrail.serving.arbiter import prepare_parent

        prepare_parent()
