"""Shipped watch: how a program that Maestro shipped follows sessions until each of them has ended.

Rule: written from what was seen on the wire. It takes `data.id`, else `data.sessionId`, for the session of a frame,
and passes over frames of others. It knows the state of a session from `session:updated` and `session:status_changed`
alone, and ends only when each session's state is an end.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, NamedTuple, Self

from websockets.sync.client import connect

if TYPE_CHECKING:
    from types import TracebackType

    from .gateways import Gateway

WAIT_S = 20.0
_ENDS = frozenset({"completed", "failed", "stopped"})
# Entries of a session's own timeline that it shows.
_NOTES = frozenset({"progress", "task_completed", "task_blocked", "error"})


class Seen(NamedTuple):
    """A line that it prints."""

    session: str
    what: str


class ShippedWatch:
    """Of these sessions, with `with`; `run` reads until it would end."""

    def __init__(self, gateway: Gateway, *sessions: str, headers: dict[str, str] | None = None) -> None:
        self._sessions = sessions
        self._states: dict[str, str] = {}
        self.lines: list[Seen] = []
        # The names of all frames that were not passed over.
        self.names: list[str] = []
        self._stack = contextlib.ExitStack()
        self._opening = connect(gateway.ws_url, additional_headers=headers, compression=None, max_queue=None)

    def __enter__(self) -> Self:
        self._socket = self._stack.enter_context(self._opening)
        self._socket.send(json.dumps({"type": "subscribe", "sessionIds": list(self._sessions)}))
        while json.loads(self._socket.recv(timeout=WAIT_S))["type"] != "subscribed":
            pass
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def has_ended(self) -> bool:
        """Whether each session has."""
        return all(self._states.get(session) in _ENDS for session in self._sessions)

    def run(self, wait_s: float = WAIT_S) -> list[Seen]:
        """What it printed until each session had ended. Raises TimeoutError where it goes on for ever."""
        while not self.has_ended:
            self._take(self._socket.recv(timeout=wait_s))
        return self.lines

    def _take(self, raw: str | bytes) -> None:
        frame = json.loads(raw)
        assert isinstance(frame, dict), "one object a frame"
        name, data = frame.get("event") or frame.get("type"), frame.get("data")
        if not name or not isinstance(data, dict):
            return
        session = data.get("id") or data.get("sessionId")
        if session not in self._sessions:
            return
        self.names.append(name)
        if name in ("session:updated", "session:status_changed"):
            if self._states.get(session) != data["status"]:
                self._states[session] = data["status"]
                self.lines.append(Seen(session, data["status"]))
            notes = data.get("timeline") or [{"type": None}]
            if notes[-1]["type"] in _NOTES:
                self.lines.append(Seen(session, f"{notes[-1]['type']}: {notes[-1]['message']}"))
            if (data.get("needsInput") or {}).get("active"):
                self.lines.append(Seen(session, f"needs input: {data['needsInput'].get('message', '')}"))
        elif name.startswith("notify:"):
            self.lines.append(Seen(session, f"{name}: {data.get('message', '')}"))
        else:
            self.lines.append(Seen(session, name))
