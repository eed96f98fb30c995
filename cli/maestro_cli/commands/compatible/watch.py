"""`maestro session watch`: follow sessions until each of them has ended."""

from __future__ import annotations

import time

from maestro_cli.context import CommandContext
from maestro_cli.output import streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated, Any

    from maestro_cli.options import Option
    from maestro_clients.client import Client
    from maestro_schemas.documents import EventDoc, SessionDoc

USAGE = "maestro session watch SESSION[,SESSION...] [OPTIONS]"
DETAILS = """\
A compatible name. It prints each change of status, each line that a session
reports, and what it waits for, and ends when all have ended. `maestro who
--watch` shows all sessions, without an end.

Examples:
  maestro session watch sess_1_abc,sess_2_def
  maestro session watch bob --timeout 10m --json"""

_ENDED = frozenset({"completed", "failed", "stopped"})


def run(
    sessions: Annotated[str, Option(name="SESSION", help="Ids or names, with commas between them.")],
    /,
    *,
    timeout: Annotated[
        str | None,
        Option(
            metavar="DURATION",
            help="End after this time, for example 10m or 600000 (ms), with exit code 7. 0: wait without end.",
        ),
    ] = None,
    as_json: Annotated[
        bool, Option(name="--json", help='Print {"sessionId", "event", "data", "timestamp"}, one object a line.')
    ] = False,
) -> int:
    """Watch sessions."""
    from maestro_cli import exit_codes
    from maestro_cli.following import follow

    from .notify import named

    wait_ms = milliseconds(timeout)
    watching = _Watching(named(sessions), wait_ms / 1000 if wait_ms else None, as_json=as_json)
    try:
        follow(CommandContext.here(), None, watching.look, concerns=_is_change, tick=watching.tick)
    except _OverError:
        streams.note(f"maestro: {watching.left()} within {wait_ms / 1000:g} s")
        streams.note("  next: Watch again, or longer.")
        return exit_codes.TIMED_OUT
    return exit_codes.DONE


def milliseconds(timeout: str | None) -> int:
    """Of a duration; a number alone is in ms, as Maestro's client takes it. 0: none. Raises MaestroError."""
    from maestro_cli.arguments import wait_s

    if timeout is None or timeout == "0":
        return 0
    is_number = timeout.isascii() and timeout.isdigit()
    return round(wait_s("--timeout", f"{timeout}ms" if is_number else timeout) * 1000)


def _is_change(event: EventDoc) -> bool:
    return event["event"] in ("session.started", "session.changed", "session.ended", "session.forgotten")


class _OverError(Exception):
    pass


class _Watching:
    """What was said of the watched sessions."""

    def __init__(self, sessions: list[str], wait_s: float | None, *, as_json: bool) -> None:
        self._sessions = sessions
        self._give_up_s = None if wait_s is None else time.monotonic() + wait_s
        self._as_json = as_json
        self._known: dict[str, SessionDoc] = {}

    def left(self) -> str:
        """Which of the sessions have not ended."""
        known = self._known
        active = [each for each in self._sessions if each not in known or known[each]["status"] not in _ENDED]
        return f"{', '.join(active)} {'has' if len(active) == 1 else 'have'} not ended"

    def tick(self) -> None:
        if self._give_up_s is not None and time.monotonic() >= self._give_up_s:
            raise _OverError

    def look(self, client: Client) -> bool:
        """Say what is new; whether a session is still active."""
        found = [client.session(session) for session in self._sessions]
        # From now on by its id: another session may get the name.
        self._sessions = [session["id"] for session in found]
        for session in found:
            self._say(session, self._known.get(session["id"]))
            self._known[session["id"]] = session
        if all(session["status"] in _ENDED for session in found):
            if not self._as_json:
                streams.say("All watched sessions have ended.")
            return False
        self.tick()
        return True

    def _say(self, now: SessionDoc, before: SessionDoc | None) -> None:
        new = []
        if before is not None:
            known = before.get("timeline", [])
            new = [note for note in now.get("timeline", []) if note not in known]
        for note in new:
            self._line(now, note["type"], note["message"], {**note})
        needs = now.get("needsInput") if now["status"] not in _ENDED else None
        if needs is not None and needs["active"] and (before is None or needs != before.get("needsInput")):
            self._line(now, "needs input", needs.get("message", ""), {"needsInput": needs})
        if before is None or before["status"] != now["status"]:
            self._line(now, "status", now["status"], {"status": now["status"]})

    def _line(self, session: SessionDoc, kind: str, text: str, data: dict[str, Any]) -> None:
        now = time.time()
        if self._as_json:
            event = "session:updated" if kind in ("status", "needs input") else "timeline"
            streams.say_json({"event": event, "sessionId": session["id"], "data": data, "timestamp": int(now * 1000)})
        else:
            from maestro_clients.texts.fence import named

            clock = time.strftime("%H:%M:%S", time.localtime(now))
            shown = text if kind == "status" else named(text) if text else ""
            streams.say(f"[{clock}] {session['id']} {kind}{': ' if shown else ''}{shown}")
