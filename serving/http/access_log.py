"""One line of JSON on standard output for each request: what was asked for, and how it ended."""

import json
import logging
from datetime import UTC, datetime

from vitrail.serving.log_writer import STDOUT

PROBES = {"/livez", "/readyz", "/metrics"}  # asked for all day long: only their failures are news
LONGEST_PATH = 200

log = logging.getLogger("bentoml.requests")  # below BentoML's logger, so that its --quiet is obeyed


def enter(request_id: str, method: str, path: str, route: str, status: int, seconds: float) -> None:
    """Whatever a caller puts into a path stays within its string: JSON escapes all that could end a line."""
    if not log.isEnabledFor(logging.INFO) or (status == 200 and route in PROBES):
        return
    line = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "request_id": request_id,
        "method": method,
        "path": path[:LONGEST_PATH],
        "route": route,
        "status": status,
        "seconds": round(seconds, 6),
    }
    STDOUT.write(json.dumps(line) + "\n")
