"""The written contract against the server: schemathesis makes up requests from it, right ones and wrong ones."""

import subprocess
import sys

EACH = 25  # made-up requests of each kind for each route
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
# What a wrong request may get; schemathesis itself does not expect 413, which too many images are.
SETTINGS = """
[checks.negative_data_rejection]
expected-statuses = [400, 404, 405, 413, 415, 422]
"""


def test_server_conforms_to_openapi(explaining, tmp_path):
    (tmp_path / "schemathesis.toml").write_text(SETTINGS)
    words = ["--config-file", "schemathesis.toml", "run", f"{explaining.url}/docs.json", "--checks", ",".join(CHECKS)]
    words += ["--phases", "coverage,fuzzing", "--max-examples", str(EACH), "--generation-deterministic", "--no-color"]
    program = "from schemathesis.cli import schemathesis; schemathesis()"
    done = subprocess.run(
        [sys.executable, "-c", program, *words], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "Fuzzing" in done.stdout
