"""What the import of a client's module costs: every command of every agent pays for it."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Work on one directory or one message needs none of these.
HEAVY = (
    "zmq",
    "msgpack",
    "msgspec",
    "asyncio",
    "cyclopts",
    "tenacity",
    "platformdirs",
    "rich",
    "subprocess",
    "socket",
)


def imported(statement: str) -> set[str]:
    """The modules that a new interpreter has loaded after a statement."""
    script = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "module",
    [
        "protocol.callers",
        "protocol.new_ids",
        "outbox.outbox_files",
        "durable_send",
        "transports.addresses",
        "processes.broker_process",
        "processes.gateway_process",
        "retry_policy",
    ],
)
def test_modules_that_talk_to_no_broker_yet(module: str) -> None:
    """They read files or make decisions, and import heavy modules only inside functions."""
    assert imported(f"import maestro_clients.{module}").isdisjoint(HEAVY)


@pytest.mark.parametrize(
    "module",
    [
        "maestro_runtime.paths",
        *(f"maestro_schemas.{name}" for name in ("names", "errors", "limits", "documents", "outbox_entry")),
    ],
)
def test_the_contract_as_clients_import_it(module: str) -> None:
    """Clients do not import its typed half, which needs msgspec."""
    assert imported(f"import {module}").isdisjoint(HEAVY)


def test_finding_a_broker_that_is_not_there() -> None:
    """The fast path of a command does this first."""
    statement = "import maestro_clients.processes.broker_process as p; p.find('/nonexistent')"
    assert imported(statement).isdisjoint(HEAVY)


@pytest.mark.parametrize(
    "module",
    [
        "maestro_clients.one_shot_client",
        "maestro_cli.inbox.listing",
        "maestro_cli.fast_path",
        # An agent starts it with each session.
        "maestro_cli.mcp.stdio_server",
    ],
)
def test_the_modules_of_the_fast_path(module: str) -> None:
    """Each module in `common` costs more, with its own imports, than the whole fast path."""
    common = {"typing", "re", "enum", "json", "contextlib", "collections", "maestro_schemas.limits"}
    assert imported(f"import {module}").isdisjoint(common.union(HEAVY))


@pytest.mark.parametrize("module", ["protocol.codec", "protocol.commands", "channel.core", "mailbox.cursor"])
def test_the_modules_without_io(module: str) -> None:
    """They take and return bytes and numbers."""
    assert imported(f"import maestro_clients.{module}").isdisjoint(set(HEAVY) - {"msgpack"})


@pytest.mark.parametrize("module", ["client", "mailbox.watcher", "mailbox.receipts"])
def test_the_modules_that_talk_to_a_broker(module: str) -> None:
    """Their only heavy imports are libzmq and msgpack."""
    assert imported(f"import maestro_clients.{module}").isdisjoint(set(HEAVY) - {"zmq", "msgpack"})


@pytest.mark.parametrize("module", ["async_client", "mailbox.async_notices"])
def test_the_modules_for_an_event_loop(module: str) -> None:
    """They also import asyncio and its imports, but neither the broker's msgspec nor zmq.asyncio."""
    found = imported(f"import maestro_clients.{module}")
    assert found.isdisjoint({"msgspec", "cyclopts", "tenacity", "platformdirs", "rich", "zmq.asyncio"})
