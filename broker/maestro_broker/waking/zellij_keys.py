"""Zellij keys: wakes an idle agent by typing fixed words into its pane of zellij, as its user has allowed.

Rule: written from the manual of zellij's command line, and NEVER TRIED with zellij. Its actions reach the pane that
has the focus, so that pane must be the agent's for the one client there. Zellij says neither where the cursor is nor
when a key was pressed: the screen must have exactly one prompt, an empty one, and must not change for some seconds.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from maestro_runtime import places

from . import key_guards, key_steps
from .key_guards import RefusedError
from .steps import WakeCommand, WakePause

if TYPE_CHECKING:
    from collections.abc import Mapping

    from maestro_runtime.wake_facts import WakeFacts

    from .key_steps import Asks
    from .steps import Steps, Wake

_SCREEN_BYTES_MAX: Final = 1 << 20
_ENTER: Final = "13"
# It finds its sessions by these.
_VARIABLES: Final = ("HOME", "XDG_RUNTIME_DIR", "ZELLIJ_SOCKET_DIR", "TMPDIR")


def steps(wake: Wake, environ: Mapping[str, str]) -> Steps:
    """Wake a session's agent by keys."""
    facts = wake.facts
    if facts.program is None or facts.socket is None or facts.pane is None or not facts.pane.isdecimal():
        return wake.failed("what is noted of it names no pane of zellij", is_lasting=True)
    command = (facts.program, "--session", facts.socket, "action")
    file = os.path.join(wake.data, "hooks", "wake", f".screen-{wake.session}")
    given = {name: environ[name] for name in _VARIABLES if name in environ}
    return (yield from key_steps.steps(wake, ZellijPane(facts, command, given, file)))


class ZellijPane:
    """The pane of an agent."""

    def __init__(self, facts: WakeFacts, command: tuple[str, ...], environ: Mapping[str, str], file: str) -> None:
        """`command`: zellij, with the session that the pane is in. `file`: where it writes the screen."""
        self._facts = facts
        self._command = command
        self._environ = environ
        self._file = file

    def empty_prompt(self) -> Asks[str]:
        """What is before an empty prompt that stays the same for some seconds."""
        first = yield from self.row()
        before = key_guards.before_prompt(first)
        key_guards.check_prompt(first, len(before))
        yield WakePause(key_guards.QUIET_S)
        if (yield from self.row()) != first:
            raise RefusedError("its screen changes")
        return before

    def row(self) -> Asks[str]:
        """The one row of the screen that has a prompt."""
        key_guards.check_agent(self._facts, None, None)
        said = yield from self._run("list-clients")
        clients = [line.split() for line in said.splitlines()[1:]]
        if [client[1] for client in clients if len(client) > 1] != [f"terminal_{self._facts.pane}"]:
            raise RefusedError("its pane has not the focus of the one client of zellij")
        try:
            yield from self._run("dump-screen", self._file)
            screen = places.read(self._file, _SCREEN_BYTES_MAX).decode("utf-8", "replace")
        except OSError as error:
            raise RefusedError(f"zellij shows no screen: {error.strerror}") from None
        finally:
            if os.path.lexists(self._file):
                os.unlink(self._file)
        rows = [row for row in screen.splitlines() if key_guards.before_prompt(row)]
        if len(rows) != 1:
            raise RefusedError(f"its screen has {len(rows)} prompts, and not one")
        return rows[0]

    def type(self, words: str) -> Asks[None]:
        """Type words."""
        yield from self._run("write-chars", words)

    def enter(self) -> Asks[None]:
        """Press Enter."""
        yield from self._run("write", _ENTER)

    def _run(self, *words: str) -> Asks[str]:
        """What an action of zellij prints. Raises RefusedError where it fails."""
        ended = yield WakeCommand((*self._command, *words), self._environ)
        assert ended is not None  # noqa: S101 - a command has an end
        if ended.code != 0:
            why = ended.out.strip() or "it gave no answer in time"
            raise RefusedError(f"zellij can't reach its pane: {why}", is_lasting=ended.code is not None)
        return ended.out
