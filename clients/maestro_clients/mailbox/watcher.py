"""Watcher: the messages of one mailbox as they come.

Rule: within one watcher's life no message is missed and none is given twice (`mail_cursor` has the reasoning; here
are the sockets). A message is confirmed `delivered` only after its consumer came back for the next one, or called
`flush` or `close`: the consumer has surfaced it then. A broker that goes away is waited for, and never started here
after the first connection. For one thread.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Any, Self, cast

import zmq

from maestro_clients.channel.unanswered import unreachable
from maestro_clients.processes.broker_process import connect, connect_if_running, may_autostart, read_endpoints
from maestro_clients.protocol.codec import encoder
from maestro_clients.protocol.commands import DEFAULT_LEASE_MS
from maestro_clients.protocol.new_ids import new_session_id
from maestro_clients.transports.addresses import is_remote
from maestro_schemas.errors import MaestroError

from .cursor import AGAIN_S, CONFIRM_COUNT, LOOK_EVERY_S, MailCursor
from .notices import Notices

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType

    from maestro_clients.channel.sync_channel import SyncChannel
    from maestro_clients.client import Client
    from maestro_clients.protocol.callers import Caller
    from maestro_schemas.documents import MessageDoc

_REQUEST_TIMEOUT_S = 10.0
_CLOSE_TIMEOUT_S = 2.0
_LOOK_AGAIN_S = 0.02
_LOOK_AGAIN_MAX_S = 0.25
# A page that is on its way is worth a moment, also to a consumer that has no time: else it would never see one.
_GRACE_S = 0.1
_LOSSES = frozenset({"BROKER_UNREACHABLE", "TIMEOUT"})
_LIVES = frozenset({"session.started", "session.ended"})


class Watcher:
    """Iterate over it, or call `next_message`. Use it as a context manager, or `close` it.

    `session`: whose mail; default the caller's. `confirm` False only looks, at mail of every status strictly by
    seq, and changes nothing. `since`: the seq after which to begin; default at the oldest. `via`: what the receipts
    say. `client`: an open connection to use, which stays the caller's to close.
    `lease_ms`: how long a consumer may take over a message before another reader may get it, too; not less than a
    round trip. `on_state` is told `connected`, `lost` and `caught up`.

    The constructor connects, starting a broker where that is allowed. Raises MaestroError NO_SESSION,
    SESSION_NOT_FOUND, FORBIDDEN or another refusal, and whatever `broker_process.ensure` raises. Once its session has
    ended and all mail was given out, `next_message` raises SESSION_ENDED.
    """

    def __init__(
        self,
        data: str,
        environ: Mapping[str, str],
        caller: Caller,
        *,
        session: str | None = None,
        confirm: bool = True,
        via: str = "watch",
        since: int | None = None,
        lease_ms: int = DEFAULT_LEASE_MS,
        on_state: Callable[[str], None] | None = None,
        client: Client | None = None,
    ) -> None:
        self._data = data
        self._environ = environ
        self._caller = caller
        self._as = caller.as_body()
        self._via = via
        self._on_state = on_state
        self._encode = encoder()
        self._pid = os.getpid()
        self._own: Client | None = None
        self._line: SyncChannel | None = None
        self._notices: Notices | None = None
        self._fetching: bytes | None = None
        self._fetching_since_s = 0.0
        self._confirming: bytes | None = None
        self._look_again_s = _LOOK_AGAIN_S
        self._told_caught_up = False
        self._has_met = False
        self._closed = False
        if client is None:
            client = self._own = connect(data, environ, caller, autostart=may_autostart(environ))
        with contextlib.ExitStack() as undo:
            undo.callback(self._disconnect)
            asking = client.sharing(caller)
            # The session's id, since a topic is not a name; and whether there is such a session, and mail to come.
            found = asking.session(session)
            confirm_max = asking.hello()["limits"].get("batch_messages_max", CONFIRM_COUNT)
            undo.pop_all()
        self._session = found["id"]
        self._has_ended = "completedAt" in found
        self._cursor = MailCursor(
            self._session,
            since=since or 0,
            # Any id that is this watcher's own.
            reader=new_session_id() if confirm else None,
            lease_ms=lease_ms,
            confirm_max=confirm_max,
        )
        if not self._connect(client):
            self._disconnect()
            raise unreachable(client.address)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
            return
        # A consumer that failed has not surfaced what it took last; and its error is the one to be told.
        with contextlib.suppress(MaestroError):
            self._end(surfaced=False)

    def __iter__(self) -> Iterator[MessageDoc]:
        return self

    def __next__(self) -> MessageDoc:
        message = self.next_message(None)
        assert message is not None  # noqa: S101 - without a timeout it returns with one
        return message

    # --- for consumers -------------------------------------------------------------------------------------

    def next_message(self, timeout_s: float | None) -> MessageDoc | None:
        """The next message; None when none came within `timeout_s` (None waits for ever, also for the broker).

        Says that the message returned before has been surfaced. Raises MaestroError for what waiting does not
        mend: the session is gone, the token is wrong. A call after that tries again.
        """
        self._check_use()
        now_s = time.monotonic()
        deadline_s = float("inf") if timeout_s is None else now_s + timeout_s
        cursor = self._cursor
        cursor.came_back(now_s)
        # Before anything is taken: what fails here must not cost a message that nobody has seen.
        self._ask(now_s, idle=False)
        if self._line is not None and self._confirming is not None:
            self._take_in(self._line)
        while (message := cursor.take(now_s)) is None:
            if self._line is None:
                self._look_for_broker(deadline_s)
            else:
                self._ask(now_s, idle=True)
                if self._has_ended and cursor.caught_up and self._fetching is None:
                    raise MaestroError(
                        "SESSION_ENDED",
                        f"session {self._session} has ended, and no more mail comes for it",
                        "Starting it again under the same id reopens its mailbox: `maestro session start --id`.",
                    )
                if self._is_over(now_s, deadline_s):
                    return None
                self._wait(deadline_s)
            now_s = time.monotonic()
            if self._line is None and now_s >= deadline_s:
                return None
        return message

    def flush(self, timeout_s: float = _CLOSE_TIMEOUT_S) -> int:
        """Confirm all that was returned, the last one too; how many stay unconfirmed because the broker is away.

        Those are confirmed when it is back. Raises MaestroError as `next_message`.
        """
        self._check_use()
        self._cursor.came_back(time.monotonic())
        self._settle(time.monotonic() + timeout_s)
        return self._cursor.unconfirmed

    def close(self) -> None:
        """Confirm all that was returned, and let go of what was not. Can be repeated.

        What can't be confirmed now is offered to the next reader again. Raises MaestroError as `next_message`.
        """
        self._end(surfaced=True)

    def _check_use(self) -> None:
        if self._closed or self._pid != os.getpid():
            why = "is closed" if self._closed else "belongs to the process that made it"
            raise MaestroError("BAD_REQUEST", f"this watcher {why}", "Make a new one.")

    def _end(self, *, surfaced: bool) -> None:
        if self._closed:
            return
        try:
            if self._pid == os.getpid():
                deadline_s = time.monotonic() + _CLOSE_TIMEOUT_S
                if surfaced:
                    self._cursor.came_back(time.monotonic())
                self._settle(deadline_s)
                self._give_back(deadline_s)
        finally:
            self._closed = True
            self._disconnect()

    def _settle(self, deadline_s: float) -> None:
        """Confirm what there is to confirm, while the broker is there and the time lasts."""
        while self._line is not None and self._cursor.unconfirmed and time.monotonic() < deadline_s:
            self._ask_confirm(self._line, time.monotonic(), idle=True)
            self._wait(deadline_s)

    def _give_back(self, deadline_s: float) -> None:
        request = self._cursor.give_back()
        if request is None or self._line is None:
            return
        try:
            self._line.call("inbox", self._body(request), max(deadline_s - time.monotonic(), 0.1))
        except MaestroError:
            return  # the lease ends by itself

    # --- the broker ----------------------------------------------------------------------------------------

    def _connect(self, client: Client) -> bool:
        """Subscribe to the notices of the client's broker, and use the client's connection; False where another
        broker has taken its place."""
        endpoints = read_endpoints(self._data, self._environ)
        if endpoints is None or endpoints.router != client.address:
            return False
        # Notices first: a message that is accepted from now on either is in the first page or is noticed.
        self._notices = Notices(endpoints.notices, self._session)
        self._line = client.channel
        self._poller = zmq.Poller()
        self._poller.register(self._notices.socket, zmq.POLLIN)
        self._poller.register(self._notices.monitor, zmq.POLLIN)
        self._polled: Any = None
        self._told_caught_up = False
        # To another machine libzmq connects when it can. The first reply proves that it did.
        if not is_remote(client.address):
            self._meet()
        return True

    def _meet(self) -> None:
        if not self._has_met:
            self._has_met = True
            self._tell("connected")

    def _disconnect(self) -> None:
        if self._notices is not None:
            self._notices.close()
        if self._line is not None:
            for request_id in (self._fetching, self._confirming):
                if request_id is not None:
                    self._line.forget(request_id)
        if self._own is not None:
            self._own.close()
        self._notices = self._line = self._own = None
        self._fetching = self._confirming = None

    def _lose(self, now_s: float) -> None:
        """The sockets go, with what is queued in them; what was asked is asked again."""
        self._disconnect()
        self._cursor.confirm_failed(now_s, 0.0)
        if self._has_met:
            self._has_met = False
            self._tell("lost")

    def _look_for_broker(self, deadline_s: float) -> None:
        """Wait a little, then look once. Its addresses may be others now."""
        # First the wait: where connections are made and break at once, this must not become a busy loop.
        time.sleep(max(0.0, min(deadline_s - time.monotonic(), self._look_again_s)))
        self._look_again_s = min(self._look_again_s * 2, _LOOK_AGAIN_MAX_S)
        self._own = connect_if_running(self._data, self._environ, self._caller)
        if self._own is not None:
            self._cursor.reconnected()
            if not self._connect(self._own):
                self._disconnect()

    def _tell(self, state: str) -> None:
        if self._on_state is not None:
            self._on_state(state)

    # --- asking and waiting --------------------------------------------------------------------------------

    def _body(self, fields: Mapping[str, Any]) -> bytes:
        return self._encode({"as": self._as, **fields} if self._as else fields)

    def _ask(self, now_s: float, *, idle: bool) -> None:
        """Post what is due. The confirmation goes first: a page asked for after it does not hold its messages."""
        line = self._line
        if line is None:
            return
        self._ask_confirm(line, now_s, idle=idle)
        if idle and self._fetching is None and self._cursor.fetch_due(now_s):
            self._fetching = line.post("inbox", self._body(self._cursor.request(now_s)), _REQUEST_TIMEOUT_S)
            self._fetching_since_s = now_s
        if idle and self._fetching is None and self._cursor.caught_up and not self._told_caught_up:
            self._told_caught_up = True
            self._tell("caught up")

    def _ask_confirm(self, line: SyncChannel, now_s: float, *, idle: bool) -> None:
        if self._confirming is None and (ids := self._cursor.confirm_due(now_s, idle=idle)):
            body = {"ids": ids, "kind": "delivered", "session": self._session, "via": self._via}
            self._confirming = line.post("confirm", self._body(body), _REQUEST_TIMEOUT_S)

    def _is_over(self, now_s: float, deadline_s: float) -> bool:
        if self._fetching is not None:
            deadline_s = max(deadline_s, self._fetching_since_s + _GRACE_S)
        return now_s >= deadline_s

    def _wait(self, deadline_s: float) -> None:
        """Until something comes or is due, then take it in."""
        line, notices = self._line, self._notices
        if line is None or notices is None:
            return
        now_s = time.monotonic()
        if self._polled is not line.socket:
            self._poll_line(line)
        if self._fetching is not None:
            deadline_s = max(deadline_s, self._fetching_since_s + _GRACE_S)
        else:
            deadline_s = min(deadline_s, max(self._cursor.next_look_s(), now_s))
        wake_s = line.next_wake_s(now_s)
        until_s = min(deadline_s, self._cursor.next_confirm_s(), wake_s or deadline_s, now_s + LOOK_EVERY_S)
        if line.has_arrived((self._fetching, self._confirming)):
            until_s = now_s  # a call of the client that shares the connection has received it
        # Rounded up, else the end of the wait would be a busy loop.
        ready = dict(self._poller.poll(max(0, int((until_s - now_s) * 1000) + 1)))
        if notices.socket in ready:
            for event in notices.drain():
                if event.get("session") == self._session and event["event"] in _LIVES:
                    self._has_ended = event["event"] == "session.ended"
                self._cursor.notice(event)
        self._take_in(line)
        if notices.monitor in ready and self._line is not None and notices.is_lost():
            self._lose(time.monotonic())

    def _poll_line(self, line: SyncChannel) -> None:
        if self._polled is not None:
            self._poller.unregister(self._polled)
        self._polled = line.socket
        if self._polled is not None:
            self._poller.register(self._polled, zmq.POLLIN)

    def _take_in(self, line: SyncChannel) -> None:
        """Answers that have come. The page before the confirmation: it may be the older of the two, and hold what
        the confirmation lets us forget."""
        line.pump(0.0)
        try:
            self._take_page(line)
            self._take_confirmation(line)
        except MaestroError as error:
            if error.code not in _LOSSES:
                raise
            self._lose(time.monotonic())

    def _take_page(self, line: SyncChannel) -> None:
        if self._fetching is None:
            return
        try:
            answer = line.take(self._fetching)
        except MaestroError as error:
            self._fetching = None
            self._cursor.fetch_failed(time.monotonic(), max(error.retry_after_s or 0.0, AGAIN_S))
            if not error.retryable or error.code in _LOSSES:
                raise
            return
        if answer is not None:
            self._fetching = None
            self._look_again_s = _LOOK_AGAIN_S
            self._meet()
            # The notice of it may have come before the subscription was in force.
            self._has_ended = answer.get("ended", False)
            self._cursor.page(cast("Any", answer), time.monotonic())

    def _take_confirmation(self, line: SyncChannel) -> None:
        if self._confirming is None:
            return
        try:
            answer = line.take(self._confirming)
        except MaestroError as error:
            self._confirming = None
            self._cursor.confirm_failed(time.monotonic(), max(error.retry_after_s or 0.0, AGAIN_S))
            if not error.retryable or error.code in _LOSSES:
                raise
            return
        if answer is not None:
            self._confirming = None
            self._cursor.confirmed(answer["results"], time.monotonic())
