"""The access log: one line of JSON on standard output for each request."""

import json
import logging
from datetime import UTC, datetime

from vitrail.serving.log_writer import STDOUT

PROBES = {"/livez", "/readyz", "/metrics"}  # polled continuously: only their failures are logged
MAX_PATH = 200

log = logging.getLogger("bentoml.requests")  # below BentoML's logger, so that its --quiet is obeyed


def write(request_id: str, method: str, path: str, route: str, status: int, seconds: float) -> None:
    """Log one request. JSON escapes what could end a line, so a path cannot forge log lines."""
    if not log.isEnabledFor(logging.INFO) or (status == 200 and route in PROBES):
        return
    entry = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "request_id": request_id,
        "method": method,
        "path": path[:MAX_PATH],
        "route": route,
        "status": status,
        "seconds": round(seconds, 6),
    }
    STDOUT.write(json.dumps(entry) + "\n")
