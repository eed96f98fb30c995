"""Codex queue: wakes an idle Codex by `codex queue`, which puts a prompt of fixed words into one of its threads.

Rule: only a thread that a person has on a screen is woken. Its process, with pid and start, must run: Codex would
keep the words for the next resume, or begin a turn that no person sees. `codex exec` never is (the hook that writes
the facts sees to it): its queue can lose what is in it. The words have no text of a message; the hooks of the turn
that they begin bring the mail.
"""

from __future__ import annotations

import errno
import os
import re
from typing import TYPE_CHECKING, Final

from maestro_runtime import wake_facts
from maestro_runtime.process_identity import is_alive
from maestro_schemas.texts.waking import NOTICE

from .steps import CommandEnd, WakeCommand, WakePause

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .steps import Steps, Wake

WORDS: Final = f"{NOTICE} has come; it is shown with this notice."
# Its daemon begins the turn at once. So what is sent in this time is in one turn.
_SETTLE_S: Final = 2.0
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# The exit code of a command line that the program does not know.
_USAGE: Final = 2
_OLD_MAX: Final = 64
_SANDBOX: Final = "an agent's sandbox; run in a shell of your own: maestro down, then maestro up"
# Programs without `queue --thread`, by what tells a file from a later one at its path.
_old: dict[tuple[str, int, int, int], None] = {}


def steps(wake: Wake, environ: Mapping[str, str]) -> Steps:
    """Wake a session's Codex. `environ`: the broker's."""
    facts = wake.facts
    program = facts.program
    if facts.thread is None or not _UUID.fullmatch(facts.thread) or program is None or facts.home is None:
        return wake.failed("what is noted of it names no thread of Codex", is_lasting=True)
    if facts.socket is not None:
        yield WakePause(_SETTLE_S)
    if wake.is_void:
        return wake.void()
    alive = is_alive(facts.pid, facts.pid_start)
    if not alive:
        if alive is None:
            reason = f"its Codex runs where this broker can't see its process, such as outside {_SANDBOX}"
            return wake.failed(reason, is_lasting=True)
        wake_facts.remove(wake.data, wake.session)
        return wake.failed("its Codex has ended, or its screen was closed", is_lasting=True)
    if wake.is_busy:
        return wake.busy()
    if wake.is_at_work:
        # Codex takes nothing from its queue in a turn, and nothing after Esc. The words would begin a turn later,
        # after the prompt that has brought the mail.
        return wake.failed(
            "its turn was broken off, or takes long; its next prompt or tool call brings the mail", is_lasting=True
        )
    identity = _identity(program)
    if identity is None:
        return wake.failed(f"{program} is not there any more; start Codex again", is_lasting=True)
    if identity in _old:
        return wake.failed(_too_old(program), is_lasting=True)
    if not wake.claim():
        return wake.void()
    command = WakeCommand(
        (program, "queue", "--thread", facts.thread, "--message", WORDS),
        _environ(facts.home, facts.database, environ),
    )
    ended = yield command
    assert ended is not None  # noqa: S101 - a command has an end
    if ended.code == 0:
        return wake.woken()
    if ended.code == _USAGE:
        while len(_old) >= _OLD_MAX:
            del _old[next(iter(_old))]
        _old[identity] = None
        return wake.failed(_too_old(program), is_lasting=True)
    return wake.failed(_reason(ended, facts.database or facts.home))


def _environ(home: str, database: str | None, environ: Mapping[str, str]) -> dict[str, str]:
    found = {"CODEX_HOME": home, "HOME": environ.get("HOME", "/")}
    return found if database is None else {**found, "CODEX_SQLITE_HOME": database}


def _identity(program: str) -> tuple[str, int, int, int] | None:
    try:
        found = os.stat(program)
    except OSError:
        return None
    return program, found.st_dev, found.st_ino, found.st_mtime_ns


def _too_old(program: str) -> str:
    return f"{program} has no `queue --thread`: update Codex, and start it again"


def _reason(ended: CommandEnd, folder: str) -> str:
    if not _may_write(folder):
        return f"this broker may not write in {folder}, so it seems to run in {_SANDBOX}"
    if ended.code is None:
        return ended.out or "`codex queue` did not end in time, and was killed"
    lines = [line for line in ended.out.splitlines() if line.strip()]
    # Lines of a backtrace may follow the error, and warnings stand before it.
    said = next((line for line in lines if line.startswith("Error:")), lines[-1] if lines else "it said nothing")
    return f"`codex queue` ended with {ended.code}: {said}"


def _may_write(folder: str) -> bool:
    """Whether this process may make a file there. A sandbox is not seen in the folder's mode."""
    try:
        os.close(os.open(folder, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except OSError as error:
        # A file system without such files refuses in another way.
        return error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS)
    return True
