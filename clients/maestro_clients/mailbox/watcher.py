"""Watcher: the messages of one mailbox as they arrive.

Rule: within one watcher's life no message is missed and none is given twice (`cursor` has the reasoning,
`watch_connection` the sockets). A message is confirmed `delivered` only after its consumer asked for the next one, or
called `flush` or `close`: the consumer has surfaced it then. A broker that is gone is waited for, and not started
after the first connection. For one thread.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Any, Self, cast

from maestro_clients.channel.unanswered import unreachable
from maestro_clients.processes.broker_process import connect, may_autostart
from maestro_clients.protocol.commands import DEFAULT_LEASE_MS
from maestro_clients.protocol.new_ids import new_session_id
from maestro_clients.transports.addresses import is_remote
from maestro_schemas.errors import MaestroError

from .cursor import AGAIN_S, CONFIRM_COUNT, LOOK_EVERY_S, MailCursor
from .watch_connection import WatchConnection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType

    from maestro_clients.client import Client
    from maestro_clients.protocol.callers import Caller
    from maestro_schemas.documents import MessageDoc

_REQUEST_TIMEOUT_S = 10.0
_CLOSE_TIMEOUT_S = 2.0
_RECONNECT_AFTER_S = 0.02
_RECONNECT_AFTER_MAX_S = 0.25
# A consumer with a timeout of 0 waits this long for a page that is on its way, else it would never see one.
_GRACE_S = 0.1
_LIVES = frozenset({"session.started", "session.ended"})


class Watcher:
    """Iterate over it, or call `next_message`. Use it as a context manager, or `close` it.

    `session`: the mailbox; default the caller's. `confirm` False only looks, at mail of every status strictly by seq,
    and changes nothing. `since`: the seq after which to begin; default at the oldest. `via`: recorded in the
    receipts. `client`: an open connection to use, which stays the caller's to close. `lease_ms`: how long a consumer
    may take over a message before another reader may get it, too; at least a round trip. `hold_quiet`: quiet mail
    comes only together with other mail; until then it stays in the mailbox for every reader. `on_state` is called
    with `connected`, `lost` and `caught up`.

    The constructor connects, starting a broker where that is allowed. Raises MaestroError NO_SESSION,
    SESSION_NOT_FOUND, FORBIDDEN or another refusal, and as `broker_process.connect`. Once its session has
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
        hold_quiet: bool = False,
        on_state: Callable[[str], None] | None = None,
        client: Client | None = None,
    ) -> None:
        self._via = via
        self._on_state = on_state
        self._pid = os.getpid()
        # The requests under way: a page, and a confirmation.
        self._fetching: bytes | None = None
        self._fetching_since_s = 0.0
        self._confirming: bytes | None = None
        self._reconnect_after_s = _RECONNECT_AFTER_S
        self._reported_caught_up = False
        # Whether the broker has answered since the last loss.
        self._has_met = False
        self._closed = False
        owned = client is None
        if client is None:
            client = connect(data, environ, caller, autostart=may_autostart(environ))
        with contextlib.ExitStack() as undo:
            if owned:
                undo.callback(client.close)
            asking = client.sharing(caller)
            # The session's id, since a topic is not a name; and whether there is such a session, and mail to come.
            found = asking.session(session)
            confirm_max = asking.hello()["limits"].get("batch_messages_max", CONFIRM_COUNT)
            self._session = found["id"]
            self._has_ended = "completedAt" in found
            self._connection = WatchConnection(data, environ, caller, self._session)
            if not self._connection.open(client, owned=owned):
                raise unreachable(client.address)
            undo.pop_all()
        self._cursor = MailCursor(
            self._session,
            since=since or 0,
            # Any id that is this watcher's own.
            reader=new_session_id() if confirm else None,
            lease_ms=lease_ms,
            confirm_max=confirm_max,
            hold_quiet=hold_quiet,
        )
        self._on_connected(client.address)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
            return
        # A consumer that failed has not surfaced its last message; and its error is the one to be raised.
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
        """The next message; None when none arrived within `timeout_s` (None waits for ever, also for the broker).

        The call declares the message returned before as surfaced. Raises MaestroError for an error that waiting does
        not repair: the session is gone, the token is wrong. A call after that tries again.
        """
        self._check_use()
        now_s = time.monotonic()
        deadline_s = float("inf") if timeout_s is None else now_s + timeout_s
        cursor = self._cursor
        cursor.came_back(now_s)
        # Before a message is taken: an error here must not cost a message that the consumer has not seen.
        self._ask(now_s, idle=False)
        if self._confirming is not None:
            self._receive()
        while (message := cursor.take(now_s)) is None:
            if not self._connection.is_open:
                self._reconnect(deadline_s)
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
            if not self._connection.is_open and now_s >= deadline_s:
                return None
        return message

    def flush(self, timeout_s: float = _CLOSE_TIMEOUT_S) -> int:
        """Confirm every message that was returned, the last one too; the number that stays unconfirmed because the
        broker is away. Those are confirmed when it is back. Raises MaestroError as `next_message`.
        """
        self._check_use()
        self._cursor.came_back(time.monotonic())
        self._settle(time.monotonic() + timeout_s)
        return self._cursor.unconfirmed

    def close(self) -> None:
        """Confirm every message that was returned, and release the others. Can be repeated.

        A message that can't be confirmed now is offered to the next reader again. Raises MaestroError as
        `next_message`.
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
        """Send the confirmations that are due, while the broker is there and the time lasts."""
        while self._connection.is_open and self._cursor.unconfirmed and time.monotonic() < deadline_s:
            self._ask_confirm(time.monotonic(), idle=True)
            self._wait(deadline_s)

    def _give_back(self, deadline_s: float) -> None:
        request = self._cursor.give_back()
        if request is None:
            return
        try:
            self._connection.call("inbox", request, max(deadline_s - time.monotonic(), 0.1))
        except MaestroError:
            return  # the lease ends by itself

    # --- the broker ----------------------------------------------------------------------------------------

    def _on_connected(self, address: str) -> None:
        self._reported_caught_up = False
        # To another machine libzmq connects when it can. The first reply proves that it did.
        if not is_remote(address):
            self._meet()

    def _meet(self) -> None:
        if not self._has_met:
            self._has_met = True
            self._report("connected")

    def _disconnect(self) -> None:
        self._connection.forget((self._fetching, self._confirming))
        self._connection.close()
        self._fetching = self._confirming = None

    def _lose(self, now_s: float) -> None:
        """Close the sockets with the messages in them; the requests are posted again later."""
        self._disconnect()
        self._cursor.confirm_failed(now_s, 0.0)
        if self._has_met:
            self._has_met = False
            self._report("lost")

    def _reconnect(self, deadline_s: float) -> None:
        """Wait a little, then try once. The broker's addresses may be others now."""
        # The wait comes first: where connections are made and break at once, this must not become a busy loop.
        time.sleep(max(0.0, min(deadline_s - time.monotonic(), self._reconnect_after_s)))
        self._reconnect_after_s = min(self._reconnect_after_s * 2, _RECONNECT_AFTER_MAX_S)
        address = self._connection.reopen()
        if address is not None:
            self._cursor.reconnected()
            self._on_connected(address)

    def _report(self, state: str) -> None:
        if self._on_state is not None:
            self._on_state(state)

    # --- asking and waiting --------------------------------------------------------------------------------

    def _ask(self, now_s: float, *, idle: bool) -> None:
        """Post the requests that are due. The confirmation comes first: a page asked for after it does not hold its
        messages."""
        if not self._connection.is_open:
            return
        self._ask_confirm(now_s, idle=idle)
        if idle and self._fetching is None and self._cursor.fetch_due(now_s):
            self._fetching = self._connection.post("inbox", self._cursor.request(now_s), _REQUEST_TIMEOUT_S)
            self._fetching_since_s = now_s
        if idle and self._fetching is None and self._cursor.caught_up and not self._reported_caught_up:
            self._reported_caught_up = True
            self._report("caught up")

    def _ask_confirm(self, now_s: float, *, idle: bool) -> None:
        if self._confirming is None and (ids := self._cursor.confirm_due(now_s, idle=idle)):
            body = {"ids": ids, "kind": "delivered", "session": self._session, "via": self._via}
            self._confirming = self._connection.post("confirm", body, _REQUEST_TIMEOUT_S)

    def _is_over(self, now_s: float, deadline_s: float) -> bool:
        if self._fetching is not None:
            deadline_s = max(deadline_s, self._fetching_since_s + _GRACE_S)
        return now_s >= deadline_s

    def _wait(self, deadline_s: float) -> None:
        """Until something arrives or is due; then receive it."""
        now_s = time.monotonic()
        if self._fetching is not None:
            deadline_s = max(deadline_s, self._fetching_since_s + _GRACE_S)
        else:
            deadline_s = min(deadline_s, max(self._cursor.next_look_s(), now_s))
        until_s = min(deadline_s, self._cursor.next_confirm_s(), now_s + LOOK_EVERY_S)
        events, may_be_lost = self._connection.wait(until_s, (self._fetching, self._confirming))
        for event in events:
            if event.get("session") == self._session and event["event"] in _LIVES:
                self._has_ended = event["event"] == "session.ended"
            self._cursor.notice(event)
        self._take_replies()
        if may_be_lost and self._connection.is_open and self._connection.is_lost():
            self._lose(time.monotonic())

    def _receive(self) -> None:
        self._connection.receive()
        self._take_replies()

    def _take_replies(self) -> None:
        """The page before the confirmation: it may be the older of the two, and hold messages that the confirmation
        lets the cursor forget."""
        try:
            self._take_page()
            self._take_confirmation()
        except MaestroError as error:
            if not _is_loss(error):
                raise
            self._lose(time.monotonic())

    def _take_page(self) -> None:
        if self._fetching is None:
            return
        try:
            answer = self._connection.take(self._fetching)
        except MaestroError as error:
            self._fetching = None
            self._cursor.fetch_failed(time.monotonic(), max(error.retry_after_s or 0.0, AGAIN_S))
            if not error.retryable or _is_loss(error):
                raise
            return
        if answer is not None:
            self._fetching = None
            self._reconnect_after_s = _RECONNECT_AFTER_S
            self._meet()
            # Its notice may have been sent before the subscription was in force.
            self._has_ended = answer.get("ended", False)
            self._cursor.page(cast("Any", answer), time.monotonic())

    def _take_confirmation(self) -> None:
        if self._confirming is None:
            return
        try:
            answer = self._connection.take(self._confirming)
        except MaestroError as error:
            self._confirming = None
            self._cursor.confirm_failed(time.monotonic(), max(error.retry_after_s or 0.0, AGAIN_S))
            if not error.retryable or _is_loss(error):
                raise
            return
        if answer is not None:
            self._confirming = None
            self._cursor.confirmed(answer["results"], time.monotonic())


def _is_loss(error: MaestroError) -> bool:
    """Whether no broker answered. One that answers STOPPING is asked again until its connection closes."""
    return error.kind == "unreachable" and error.code != "STOPPING"
