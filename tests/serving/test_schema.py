"""The server against its OpenAPI document: schemathesis generates valid and invalid requests from it."""

import subprocess
import sys
from pathlib import Path

import pytest

from ..servers import Server

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "unsupported_method",
    "allow_header_conformance",
    "negative_data_rejection",
    # Not positive_data_acceptance: to a schema any bytes are an image.
)
# Statuses of invalid requests; schemathesis itself does not expect 413 (too many images).
SETTINGS = """
[checks.negative_data_rejection]
expected-statuses = [400, 404, 405, 413, 415, 422]
"""


@pytest.mark.parametrize(
    ("phases", "count"),  # generated requests of each kind for each route
    [("fuzzing", 15), pytest.param("coverage,fuzzing", 25, marks=pytest.mark.long)],
)
def test_server_conforms_to_openapi(phases: str, count: int, explaining: Server, tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text(SETTINGS)
    options = ["--config-file", "schemathesis.toml", "run", f"{explaining.url}/docs.json", "--checks", ",".join(CHECKS)]
    options += ["--phases", phases, "--max-examples", str(count)]
    options += ["--generation-deterministic", "--no-color"]
    program = "from schemathesis.cli import schemathesis; schemathesis()"
    done = subprocess.run(
        [sys.executable, "-c", program, *options], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "Fuzzing" in done.stdout
