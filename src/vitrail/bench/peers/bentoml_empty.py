"""A BentoML service that does nothing: what its start costs before any model."""

import bentoml


@bentoml.service
class Empty:
    @bentoml.api
    def nothing(self) -> None:
        return None
