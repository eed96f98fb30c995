"""The gateway does what `/openapi.json` says for any request: no fault, and no answer of another shape.

Rule: schemathesis makes the requests from the document alone, and judges the answers. The seed is fixed and printed.
A check is left out by name only, with the reason beside it.
"""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from support.gateways import Gateway

SEED = 20_261_122
LONG_CASES = 5_000

LEFT_OUT = (
    # A schema can't express all rules of the broker: a text of control characters alone, a name with a line end, an
    # integer that JSON can hold and 64 bits can't, limits that a setting changes.
    "positive_data_acceptance",
    # Calls without a token are allowed from this machine, as documented, for sessions that were started without one.
    "ignored_auth",
    # A client without a session is the operator, and may see every session's mail.
    "object_level_authorization",
)


def cases(gateway: Gateway, directory: Path, most: int, *options: str) -> int:
    """Run schemathesis against the gateway, at most `most` cases for each call and phase. Returns the number of
    cases, and fails with the findings."""
    command = [sys.executable, "-m", "schemathesis.cli"]
    if (directory / "schemathesis.toml").exists():
        command += ["--config-file", str(directory / "schemathesis.toml")]
    command += ["run", f"{gateway.url}/openapi.json", "--no-color", "--generation-database", "none"]
    command += ["--checks", "all", "--exclude-checks", ",".join(LEFT_OUT), "--warnings", "off"]
    command += ["--seed", str(SEED), "--max-examples", str(most), "--continue-on-failure", *options]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=1_500, check=False)
    print(done.stdout)
    assert done.returncode == 0, f"seed {SEED}: {done.stdout[-6_000:]}{done.stderr[-2_000:]}"
    assert gateway.ask("GET", "/health").json["ready"]
    made = re.search(r"([\d,]+) generated", done.stdout)
    assert made is not None
    return int(made[1].replace(",", ""))


def knowing(gateway: Gateway, directory: Path) -> list[str]:
    """Options for requests that reach the broker's rules: of an existing session, about an existing message."""
    sent = gateway.ask("POST", "/api/sessions/bob/messages", {"message": "x"}, headers={"X-Session-ID": "ann"})
    lines = ["[parameters]", '"path.session" = "bob"', f'"path.message" = "{sent.json["id"]}"']
    (directory / "schemathesis.toml").write_text("\n".join(lines) + "\n")
    # This would end the session for all later requests.
    return ["-H", "X-Session-ID: ann", "--exclude-operation-id", "sessions_change", "--phases", "fuzzing"]


def test_a_few_hundred_requests(gateway: Gateway, tmp_path: Path) -> None:
    """The documented examples, and requests of every kind."""
    made = cases(gateway, tmp_path, 15, "--phases", "examples,fuzzing,stateful")
    made += cases(gateway, tmp_path, 25, *knowing(gateway, tmp_path))
    assert made >= 200


@pytest.mark.long
@pytest.mark.timeout(1_800)
def test_thousands_of_requests(gateway: Gateway, tmp_path: Path) -> None:
    """More requests, with every boundary of every field."""
    made = cases(gateway, tmp_path, 170)
    made += cases(gateway, tmp_path, 170, *knowing(gateway, tmp_path))
    assert made >= LONG_CASES
