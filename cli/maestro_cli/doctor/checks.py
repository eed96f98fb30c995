"""Doctor checks: the table of everything that `maestro doctor` checks.

Rule: a check changes nothing. It starts no broker of the user's data directory and shows no mail, and it removes what
it writes for a measurement. A check that fails itself is a finding of its own, and the others still run.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from maestro_cli.context import CommandContext
from maestro_runtime import places
from maestro_schemas.errors import MaestroError

from . import (
    codex_checks,
    hook_checks,
    host_checks,
    index_checks,
    mcp_checks,
    place_checks,
    process_checks,
    wake_checks,
)
from .findings import DoctorFinding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Check = Callable[[CommandContext], Iterator[DoctorFinding]]


def _one(check: Callable[[CommandContext], DoctorFinding]) -> Check:
    """For the table: a check that has exactly one finding."""
    return lambda context: iter((check(context),))


# Each with the name of the finding where the check itself fails.
CHECKS: tuple[tuple[str, Check], ...] = (
    ("versions", _one(host_checks.versions)),
    ("command", _one(host_checks.command)),
    ("home directory", _one(place_checks.home)),
    ("data directory", _one(place_checks.data_directory)),
    ("places", place_checks.misplaced),
    ("modes", _one(place_checks.modes)),
    ("file system", host_checks.file_system),
    ("sync of the disk", _one(host_checks.disk_sync)),
    ("socket directory", _one(place_checks.socket_directory)),
    ("settings", _one(host_checks.settings)),
    ("broker", process_checks.broker),
    ("HTTP gateway", _one(process_checks.gateway)),
    ("outbox", _one(process_checks.outbox)),
    ("sessions", _one(process_checks.sessions)),
    ("search index", _one(index_checks.index)),
    ("this shell", _one(process_checks.shell_session)),
    ("hooks", hook_checks.hooks),
    ("codex's queue", codex_checks.queue),
    ("MCP servers", mcp_checks.servers),
    ("wakes", wake_checks.outcomes),
    ("inotify", host_checks.inotify),
)


def run() -> Iterator[DoctorFinding]:
    """Run every check for this process's shell; yields each finding as soon as it is there."""
    try:
        context = CommandContext.here()
    except MaestroError as error:
        # Without a place for the data, only what needs none can be looked at.
        for alone in (host_checks.versions, host_checks.command):
            yield alone(CommandContext(os.environ, "", None, None))
        yield _failed("data directory", error)
        return
    for name, check in CHECKS:
        try:
            yield from check(context)
        except Exception as error:  # noqa: BLE001 - a defect in one check must not hide what the others find
            yield _failed(name, error)


def _failed(name: str, error: Exception) -> DoctorFinding:
    if isinstance(error, OSError) and places.explained(error) is not None:
        error = places.refusal("DATA_DIR_UNUSABLE", "not checked", error, "")
    elif not isinstance(error, MaestroError):
        from maestro_cli import crash_log

        error = crash_log.record(error)
    return DoctorFinding(name, "failed", error.message, error.hint)
