"""Core counts: how many calls and lines of Python the broker's own code takes for a message.

Rule: from the request's bytes to the record's and the reply's, all that is decided, without sockets and files, so
that the same code gives the same numbers on every machine. Run as a script it prints them as JSON; in a process of
its own, since it takes the interpreter's hooks, which a measurement of coverage has as well.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import msgspec

from maestro_broker.core import commands
from maestro_broker.core.context import RequestContext
from maestro_broker.core.model import records
from maestro_broker.core.model.checkpoint import Checkpoint
from maestro_broker.core.model.reads import Read
from maestro_broker.core.model.state import State
from maestro_broker.server.metrics import BrokerMetrics
from maestro_schemas.commands import decode_request
from maestro_schemas.groups import Group, GroupMember
from maestro_schemas.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

_encode = msgspec.msgpack.Encoder().encode
_ROUNDS = 100
_NOW_MS = 1_000_000
_TEXT = "x" * 512
_BATCH = 64
_FAN_OUT = 64
_CROWD = [f"c{number}" for number in range(_FAN_OUT)]


class Desk:
    """A post office in memory with `sessions` sessions, `stored` pending messages for the first of them, and a
    watcher of everything. Each call is one request, as the main loop does it."""

    def __init__(self, sessions: int, stored: int) -> None:
        self._state = State(Limits(rate_limit=0, pending_max=1_000_000), Checkpoint())
        self._context = RequestContext(_NOW_MS, topics=frozenset({""}))
        self._tally = BrokerMetrics()
        self._count = 0
        for number in range(sessions):
            self.do("session.start", {"as": {}, "id": f"s{number}", "role": "orchestrator"})
        for session in _CROWD:
            self.do("session.start", {"as": {}, "id": session})
        members = tuple(GroupMember(session=session, joined_at=_NOW_MS) for session in _CROWD)
        crowd = Group(name="crowd", project_id="", creator="s0", created_at=_NOW_MS, members=members)
        self._state.apply(records.GroupChanged(_NOW_MS, "s0", crowd), None)
        self._state.take_changes()
        for _ in range(stored):
            self.send(1, "s0")

    def do(self, command: str, body: dict[str, Any]) -> Any:
        """One request that changes something, and its commit; the reply."""
        request = decode_request(command.encode(), _encode(body))
        reply = commands.execute(commands.HANDLERS[type(request)], self._state, request, self._context, _no_read)
        changes = self._state.take_changes()
        for change in changes:
            records.encode(change.record)
        self._tally.committed(changes, 0.1)
        self._state.take_touched()
        self._tally.answered(reply)
        _encode(reply)
        for change in changes:
            for event in records.events(change.lsn, change.record):
                _encode(event)
        return reply

    def send(self, messages: int, receiver: str = "s1") -> tuple[str, int]:
        """One request with `count` messages; the id and number of the last."""
        ids = [f"msg_{_NOW_MS + self._count + number}_abcdefghi" for number in range(messages)]
        self._count += messages
        outgoing = [{"id": one, "to": receiver, "message": _TEXT} for one in ids]
        reply = self.do("send", {"as": {"session": "s0"}, "messages": outgoing})
        assert reply.results[-1].status == (201 if receiver != "absent" else 404)
        return reply.results[-1].id, reply.results[-1].seq

    def fan_out(self) -> None:
        """One message to a group."""
        self._count += 1
        outgoing = {"id": f"msg_{_NOW_MS + self._count}_abcdefghi", "to": "@crowd", "message": _TEXT}
        reply = self.do("send", {"as": {"session": "s0"}, "messages": [outgoing]})
        assert reply.results[0].accepted == _FAN_OUT

    def push(self) -> None:
        """What a watcher's message costs: the send, its looking, its confirming."""
        message_id, seq = self.send(1)
        who = {"as": {"session": "s1"}}
        page = self.do("inbox", {**who, "since": seq - 1, "limit": 16, "leaseMs": 30_000, "reader": "r"})
        assert page.count == 1
        self.do("confirm", {**who, "ids": [message_id], "kind": "delivered", "via": "watch"})


def _no_read(read: Read, now_ms: int) -> Any:
    raise AssertionError(f"everything is in memory, and {read} was asked for")


def calls(work: Callable[[], object]) -> int:
    """Calls of functions, Python's and C's."""
    found = 0

    def hook(_frame: FrameType, what: str, _value: object) -> None:
        nonlocal found
        found += what in ("call", "c_call")

    sys.setprofile(hook)
    try:
        work()
    finally:
        sys.setprofile(None)
    return found


def lines(work: Callable[[], object]) -> int:
    """Lines of Python that were begun."""
    found = 0

    def hook(_frame: FrameType, what: str, _value: object) -> Any:
        nonlocal found
        found += what == "line"
        return hook

    sys.settrace(hook)
    try:
        work()
    finally:
        sys.settrace(None)
    return found


def counted(desk: Desk) -> dict[str, float]:
    """Calls and lines of a message sent by itself, of one in a batch, of one that is pushed, of one in a batch to an
    absent receiver, and of one to a group, as many single sends."""
    jobs: dict[str, tuple[Callable[[], object], int]] = {
        "send": (lambda: desk.send(1), 1),
        "batch": (lambda: desk.send(_BATCH), _BATCH),
        "push": (desk.push, 1),
        "refused": (lambda: desk.send(_BATCH, "absent"), _BATCH),
    }
    found: dict[str, float] = {}
    for name, (work, messages) in jobs.items():
        work()  # what is done once
        for what, count in (("calls", calls), ("lines", lines)):
            found[f"{name} {what}"] = sum(count(work) for _ in range(_ROUNDS)) / (_ROUNDS * messages)
    desk.fan_out()
    for what, count in (("calls", calls), ("lines", lines)):
        found[f"fan-out {what}"] = count(desk.fan_out) / found[f"send {what}"]
    return found


def main() -> None:
    """A small post office and a large one."""
    json.dump({"small": counted(Desk(2, 0)), "large": counted(Desk(2_000, 5_000))}, sys.stdout)


if __name__ == "__main__":
    main()
