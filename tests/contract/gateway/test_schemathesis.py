"""The gateway does what `/openapi.json` says for any request: no fault, and no answer of another shape.

Rule: schemathesis makes the requests from the document alone, and judges the answers. The seed is fixed and printed.
A check is left out by name only, with the reason beside it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

import pytest

from support.post_office import eventually
from support.wire_http import connect, head

if TYPE_CHECKING:
    from pathlib import Path

    from support.gateways import Gateway
    from support.post_office import PostOffice

SEED = 20_261_122
LONG_CASES = 10_000
# Of the gateway, over the long run: what its allocator and its caches may take.
GROWTH_BYTES_MAX = 24 << 20

LEFT_OUT = (
    # A schema can't express all rules of the broker: a text of control characters alone, a name with a line end, an
    # integer that JSON can hold and 64 bits can't, limits that a setting changes.
    "positive_data_acceptance",
    # Calls without a token are allowed from this machine, as documented, for sessions that were started without one.
    "ignored_auth",
    # A client without a session is the operator, and may see every session's mail.
    "object_level_authorization",
)


# It waits for up to two minutes, as it is asked to; `shipped/test_mail_generation.py` has its requests.
WAITING = ("--exclude-operation-id", "mail_wait")


def cases(gateway: Gateway, directory: Path, most: int, *options: str) -> int:
    """Run schemathesis against the gateway, at most `most` cases for each call and phase. Returns the number of
    cases, and fails with the findings."""
    command = [sys.executable, "-m", "schemathesis.cli"]
    if (directory / "schemathesis.toml").exists():
        command += ["--config-file", str(directory / "schemathesis.toml")]
    command += ["run", f"{gateway.url}/openapi.json", "--no-color", "--generation-database", "none"]
    command += ["--checks", "all", "--exclude-checks", ",".join(LEFT_OUT), "--warnings", "off"]
    command += ["--seed", str(SEED), "--max-examples", str(most), "--continue-on-failure", *WAITING, *options]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=3_000, check=False)
    print(done.stdout)
    assert done.returncode == 0, f"seed {SEED}: {done.stdout[-6_000:]}{done.stderr[-2_000:]}"
    assert gateway.ask("GET", "/health").json["ready"]
    made = re.search(r"([\d,]+) generated", done.stdout)
    assert made is not None
    return int(made[1].replace(",", ""))


def knowing(gateway: Gateway, directory: Path) -> list[str]:
    """Options for requests that reach the broker's rules: of an existing session, about an existing message."""
    # Sessions of their own: the requests before may have ended others, or moved them to another project.
    for session in ("amy", "bea"):
        gateway.ask("POST", "/api/sessions", {"id": session, "projectId": "fuzz"})
    sent = gateway.ask("POST", "/api/sessions/bea/messages", {"message": "x"}, headers={"X-Session-ID": "amy"})
    lines = ["[parameters]", '"path.session" = "bea"', f'"path.message" = "{sent.json["id"]}"']
    (directory / "schemathesis.toml").write_text("\n".join(lines) + "\n")
    # This would end the session for all later requests.
    return ["-H", "X-Session-ID: amy", "--exclude-operation-id", "sessions_change", "--phases", "fuzzing"]


@pytest.mark.timeout(300)
def test_a_few_hundred_requests(gateway: Gateway, tmp_path: Path) -> None:
    """The documented examples, and requests of every kind."""
    made = cases(gateway, tmp_path, 15, "--phases", "examples,fuzzing,stateful")
    made += cases(gateway, tmp_path, 25, *knowing(gateway, tmp_path))
    assert made >= 200


@pytest.mark.long
@pytest.mark.timeout(3_600)
def test_thousands_of_requests(open_office: PostOffice, gateway: Gateway, tmp_path: Path) -> None:
    """More requests, with every boundary of every field. Memory and descriptors stay as they are."""
    # What is made once is made.
    made = cases(gateway, tmp_path, 30)
    with connect(gateway) as wire:
        # The first stream opens the gateway's subscription at the broker, which stays.
        wire.sendall(head("/api/sessions/bob/messages/stream"))
        assert wire.recv(4_096).startswith(b"HTTP/1.1 200 ")
    before = usage(gateway.pid)
    made += cases(gateway, tmp_path, 210)
    made += cases(gateway, tmp_path, 330, *knowing(gateway, tmp_path))
    eventually(lambda: usage(gateway.pid).descriptors <= before.descriptors + 2, "the connections are closed")
    after = usage(gateway.pid)
    print(f"{made:,} cases: gateway {before} before, {after} after; broker {usage(open_office.pid)}")
    assert made >= LONG_CASES
    assert after.resident_bytes - before.resident_bytes < GROWTH_BYTES_MAX
    with open_office.client() as client:
        refused = client.stats()["refusedByCode"]
    assert "INTERNAL" not in refused, refused


class Usage(NamedTuple):
    """What a process has."""

    resident_bytes: int
    descriptors: int

    def __str__(self) -> str:
        return f"{self.resident_bytes / (1 << 20):.1f} MiB and {self.descriptors} descriptors"


def usage(pid: int) -> Usage:
    """What a process has now (proc(5))."""
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        pages = int(file.read().split()[1])
    return Usage(pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir(f"/proc/{pid}/fd")))
