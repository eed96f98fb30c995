"""Doctor checks: the table of everything that `maestro doctor` checks.

Rule: a check changes nothing. It starts no broker of the user's data directory and shows no mail, and it removes what
it writes for a measurement.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import hook_checks, host_checks, process_checks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from maestro_cli.context import CommandContext

    from .findings import DoctorFinding


def _one(check: Callable[[CommandContext], DoctorFinding]) -> Callable[[CommandContext], Iterator[DoctorFinding]]:
    """For the table: a check that has exactly one finding."""
    return lambda context: iter((check(context),))


# Each check depends only on those before it.
CHECKS: tuple[Callable[[CommandContext], Iterator[DoctorFinding]], ...] = (
    _one(host_checks.versions),
    _one(host_checks.data_directory),
    host_checks.file_system,
    _one(host_checks.disk_sync),
    _one(host_checks.socket_directory),
    _one(host_checks.settings),
    process_checks.broker,
    _one(process_checks.gateway),
    _one(process_checks.outbox),
    _one(process_checks.shell_session),
    hook_checks.hooks,
)


def run(context: CommandContext) -> Iterator[DoctorFinding]:
    """Run every check; yields each finding as soon as it is there."""
    for check in CHECKS:
        yield from check(context)
