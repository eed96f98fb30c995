"""Index process: the broker's end of the process that keeps the search index.

Rule: the loop never waits for it. Writes do not block, a bounded number of requests waits, of each session a few, and
a request beyond it is refused. A process that ends is started again for the requests that waited, once; one that is
silent for too long is ended, and the request that it worked on is refused.
"""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from maestro_broker.core.people import people_of
from maestro_broker.index.orders import SEARCH_S_MAX, Frames, IndexAnswer, frame
from maestro_broker.transport.readiness import READ, WRITE
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from maestro_broker.core.model.state import State
    from maestro_broker.index.orders import IndexOrder, IndexReport
    from maestro_broker.transport.listener import IncomingRequest
    from maestro_broker.transport.zmtp_router import ZmtpRouter

_log = logging.getLogger(__name__)

_WAITING_MAX = 64
# Of one session, so that none keeps the others waiting. A person's page asks several things at once.
_OWN_WAITING_MAX = 4
# How long the process may work on one request. A search is bounded by SEARCH_S_MAX, so it has answered long before.
ANSWER_S_MAX = 20.0
# A process that ends at once is not started again for each request.
_REST_S = 2.0
_READ_BYTES = 1 << 18
_TRIES = 2


class _Asked(NamedTuple):
    """A request that waits for its answer."""

    arrival: IncomingRequest
    order: IndexOrder
    tries: int = 1


class LateReply(NamedTuple):
    """The answer to a waiting request: the body of its reply, or an error."""

    arrival: IncomingRequest
    body: dict[str, Any] | MaestroError


class IndexProcess:
    """Starts the process with the first order, and passes orders and answers on."""

    def __init__(self, data: str, state: State) -> None:
        self._data = data
        self._state = state
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._frames = Frames()
        self._unsent = bytearray()
        self._waiting: dict[int, _Asked] = {}
        self._refused: list[LateReply] = []
        self._number = 0
        self._started_s = self._resting_until_s = 0.0
        # Since when it works on the oldest request, as far as the broker knows.
        self._busy_s = 0.0
        self._has_spoken = False
        # The socket that is watched, and for what.
        self._watched: tuple[socket.socket, int] | None = None
        self._starts = 0
        self.report: IndexReport | None = None

    # --- orders --------------------------------------------------------------------------------------------

    def ask(self, arrival: IncomingRequest, order: IndexOrder) -> None:
        """Hand an order over; `collect` has its answer later. Raises MaestroError INDEX_UNAVAILABLE."""
        if any(each.arrival == arrival for each in self._waiting.values()):
            return  # a client sends the same again whose answer is late
        if len(self._waiting) >= _WAITING_MAX:
            raise MaestroError(
                "INDEX_UNAVAILABLE",
                f"{len(self._waiting)} searches wait for the index, and the limit is {_WAITING_MAX}",
                "Try again in a moment.",
                retry_after_s=1.0,
                limit=_WAITING_MAX,
                actual=len(self._waiting) + 1,
            )
        own = [each for each in self._waiting.values() if each.order.scope.reader == order.scope.reader]
        if order.scope.reader is not None and len(own) >= _OWN_WAITING_MAX:
            raise MaestroError(
                "INDEX_UNAVAILABLE",
                f"{len(own)} searches of this session wait for the index, and the limit is {_OWN_WAITING_MAX}",
                "Wait for their answers.",
                retry_after_s=1.0,
                limit=_OWN_WAITING_MAX,
                actual=len(own) + 1,
            )
        if self._socket is None:
            self._start()
        self._order(_Asked(arrival, order))

    def _order(self, asked: _Asked) -> None:
        if not self._waiting:
            self._busy_s = time.monotonic()
        self._number += 1
        self._waiting[self._number] = asked
        self._unsent += frame((self._number, asked.order))
        self._send()

    def collect(self) -> list[LateReply]:
        """The answers that have come, and the refusals of requests that get none."""
        self._send()
        found, self._refused = self._refused, []
        while self._socket is not None:
            try:
                received = self._socket.recv(_READ_BYTES)
            except BlockingIOError:
                break
            except OSError:
                received = b""
            if not received:
                self._ended()
                break
            for body in self._frames.feed(received):
                reply = self._reply(body)
                if reply is not None:
                    found.append(reply)
        found += self._refused
        self._refused = []
        return found

    def look_after(self) -> None:
        """Once a second: end a process that does not answer."""
        if self._waiting and time.monotonic() - self._busy_s >= ANSWER_S_MAX:
            _log.warning("the process of the index has not answered for %g s, and is ended", ANSWER_S_MAX)
            oldest = self._waiting.pop(next(iter(self._waiting)))
            self._refused.append(LateReply(oldest.arrival, _unavailable("it did not answer in time", 1.0)))
            self._ended()

    # --- the loop's wait -----------------------------------------------------------------------------------

    def watch_by(self, waiting: ZmtpRouter) -> None:
        """Have the present socket wake the loop. Call it before each wait. A closed socket is watched no longer."""
        wanted = None if self._socket is None else (self._socket, READ | WRITE if self._unsent else READ)
        if wanted != self._watched:
            if wanted is not None:
                waiting.watch(wanted[0].fileno(), wanted[1])
            self._watched = wanted

    @property
    def fd(self) -> int | None:
        """The descriptor that is watched."""
        return None if self._watched is None else self._watched[0].fileno()

    # --- the process ---------------------------------------------------------------------------------------

    def stats(self) -> dict[str, Any]:
        """For `maestro status`."""
        shown: dict[str, Any] = {"running": self._socket is not None, "starts": self._starts}
        if self.report is not None:
            shown |= msgspec.to_builtins(self.report)
        return shown

    def close(self) -> None:
        """End the process. It has nothing that must be saved: the file is derived, and SQLite survives it."""
        self._waiting.clear()
        self._close()

    def _start(self) -> None:
        now_s = time.monotonic()
        if now_s < self._resting_until_s:
            raise _unavailable("it ended as soon as it was started", self._resting_until_s - now_s)
        try:
            own, other = socket.socketpair()
        except OSError as error:
            raise _unavailable(f"it can't be started: {error}", _REST_S) from None
        with other:
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "maestro_broker.index", self._data, str(other.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    # Not the broker's directory, which may be unmounted one day.
                    cwd="/",
                    pass_fds=(other.fileno(),),
                    start_new_session=True,
                )
            except OSError as error:
                own.close()
                raise _unavailable(f"it can't be started: {error}", _REST_S) from None
        own.setblocking(False)  # noqa: FBT003
        self._socket, self._frames, self._started_s, self._has_spoken = own, Frames(), now_s, False
        self._starts += 1

    def _send(self) -> None:
        while self._unsent and self._socket is not None:
            try:
                sent = self._socket.send(self._unsent)
            except BlockingIOError:
                return
            except OSError:
                return  # `collect` sees its end
            del self._unsent[:sent]

    def _reply(self, body: bytes) -> LateReply | None:
        answer = _decode(body)
        self._busy_s = time.monotonic()
        self.report = answer.report
        self._has_spoken = True
        asked = self._waiting.pop(answer.number, None)
        if asked is None:
            return None
        if answer.is_too_long:
            return LateReply(asked.arrival, _too_long())
        if answer.failure is not None:
            return LateReply(asked.arrival, _unavailable(answer.failure, 1.0))
        fields: dict[str, Any] = dict(answer.fields)
        if answer.mentioned is not None:
            fields["people"] = people_of(self._state, answer.mentioned)
        return LateReply(asked.arrival, fields)

    def _ended(self) -> None:
        """The process has ended: by itself after a quiet time, or by a fault. What waits is asked once more."""
        waiting = list(self._waiting.values())
        has_spoken = self._has_spoken
        self._close()
        if not waiting:
            return
        _log.warning("the process of the index has ended with %d requests waiting", len(waiting))
        if not has_spoken and waiting[0].tries >= _TRIES:
            self._resting_until_s = time.monotonic() + _REST_S
        self._waiting.clear()
        for asked in waiting:
            try:
                if asked.tries >= _TRIES:
                    raise _unavailable("it ended while it searched", 1.0)
                if self._socket is None:
                    self._start()
                self._order(asked._replace(tries=asked.tries + 1))
            except MaestroError as error:
                self._refused.append(LateReply(asked.arrival, error))

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._unsent.clear()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


_decode = msgspec.msgpack.Decoder(IndexAnswer).decode


def _too_long() -> MaestroError:
    return MaestroError(
        "INVALID_QUERY",
        f"this search needs more than {SEARCH_S_MAX:g} s of the processor, which all searches share",
        "Search for fewer words. Or narrow it, such as with `from:` or `after:3d`.",
    )


def _unavailable(why: str, retry_after_s: float) -> MaestroError:
    return MaestroError(
        "INDEX_UNAVAILABLE",
        f"the search index can't answer now: {why}",
        "Try again in a moment; logs/index.log in the data directory says more. Mail is not affected.",
        retry_after_s=max(0.1, retry_after_s),
    )
