"""Client: the broker's commands as methods that wait for their reply.

Rule: one method for each command (`protocol.commands` documents them). A client starts no broker and queues no
message; see `processes` and `durable_send`. For one thread at a time: open a client for each, they are cheap.
"""

from __future__ import annotations

import os
import time
from itertools import islice
from typing import TYPE_CHECKING, Any, Self, TypeVar

from maestro_schemas import NOT_REPEATABLE

from .channel.sync_channel import SyncChannel
from .channel.unanswered import not_ours
from .protocol import commands, sizes
from .protocol.callers import Caller
from .protocol.codec import encoder
from .protocol.command_methods import CommandMethods
from .retry_policy import retry
from .transports.addresses import is_remote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import TracebackType

    from maestro_schemas.documents import OutgoingDoc, SendResultDoc

OPERATOR = Caller()

T = TypeVar("T")


# More than this at once only makes the broker wait for the first (measured: 16 at once are no faster).
_REQUESTS_AT_ONCE = 8


class Client(CommandMethods):
    """A connection to a broker, made with the first request, that speaks for `caller`.

    `address`: a broker's `router` endpoint. `timeout_s`: for each call that names no other. `patient`: a call waits
    for a broker that is gone until its timeout, instead of raising BROKER_UNREACHABLE after 0.3 s. `retry_within_s`:
    how long a method repeats a request that the broker can't do now (`retry_policy`), at most its timeout; 0: never.
    `spin_us`: how long a wait for an answer stays awake before it sleeps. 300 make one send after another a third
    faster, and take three to four times the CPU time; only for a broker on this machine, with a core to spare.
    """

    def __init__(
        self,
        address: str,
        caller: Caller = OPERATOR,
        *,
        timeout_s: float = 10.0,
        patient: bool = False,
        retry_within_s: float = 0.0,
        spin_us: int = 0,
        channel: SyncChannel | None = None,
    ) -> None:
        """Raises MaestroError INVALID for a `spin_us` that is not 0 to SPIN_US_MAX; a given `channel` has its own."""
        self.address = address
        self.caller = caller
        self._as = caller.as_body()
        self._timeout_s = timeout_s
        self._retry_within_s = min(retry_within_s, timeout_s)
        self._owns_channel = channel is None
        # For a watcher, which waits for replies and notices together.
        self.channel = SyncChannel(address, patient=patient, spin_us=spin_us) if channel is None else channel
        self._encode = encoder()
        self._wire_bytes_max: int | None = None

    def open(self) -> bool:
        """Connect now, and not with the first call; False where no broker listens. A broker on another machine is
        connected to in the background: True."""
        return self.channel.open()

    def sharing(
        self, caller: Caller | None = None, *, timeout_s: float | None = None, retry_within_s: float | None = None
    ) -> Client:
        """A client over this client's connection, for another caller or with other times. Its `close` leaves the
        connection open."""
        return Client(
            self.address,
            self.caller if caller is None else caller,
            timeout_s=self._timeout_s if timeout_s is None else timeout_s,
            retry_within_s=self._retry_within_s if retry_within_s is None else retry_within_s,
            channel=self.channel,
        )

    def close(self) -> None:
        """Close the connection. Can be repeated."""
        if self._owns_channel:
            self.channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- requests ------------------------------------------------------------------------------------------

    def request(self, request: commands.Request[T]) -> T:
        """Send a prepared request, repeated as `retry_within_s` allows; what its reply means."""
        command, body, read, caller = request
        if not self._retry_within_s or command in NOT_REPEATABLE:
            return read(self.call(command, body, caller=caller))
        deadline_s = time.monotonic() + self._timeout_s

        def attempt() -> T:
            left_s = max(deadline_s - time.monotonic(), 0.0)
            return read(self.call(command, body, caller=caller, timeout_s=left_s))

        return retry(attempt, within_s=self._retry_within_s)

    def send_files(
        self,
        prepare: Callable[..., commands.Request[SendResultDoc]],
        arguments: tuple[Any, ...],
        named: Mapping[str, Any],
    ) -> SendResultDoc:
        """As `CommandMethods.send_files`."""
        from .attachments import file_sends, outgoing_files

        given = file_sends.GivenFiles.of(named["attachments"])
        asked = file_sends.bounds(is_remote=is_remote(self.address), speaker=self.caller, caller=named.get("caller"))
        files = outgoing_files.read(given.paths, self.carry_out(asked))
        return self.carry_out(file_sends.sent(prepare, arguments, named, given, files))

    def call(
        self,
        command: str,
        body: Mapping[str, Any],
        *,
        timeout_s: float | None = None,
        caller: Caller | None = None,
    ) -> dict[str, Any]:
        """Send any command once, with its caller (`caller`, or the client's own); the reply's body.

        Raises the MaestroError that the broker answers with; FRAME_TOO_LARGE for a body over the broker's limit,
        before it is sent; BROKER_UNREACHABLE or TIMEOUT where no answer came.
        """
        encoded = self._encoded(body, self._as if caller is None else caller.as_body())
        return self.channel.call(command, encoded, self._timeout_s if timeout_s is None else timeout_s)

    def _encoded(self, body: Mapping[str, Any], speaker: Mapping[str, Any]) -> bytes:
        encoded = self._encode({"as": speaker, **body} if speaker else body)
        if len(encoded) > commands.BYTES_ALWAYS_TAKEN:
            if self._wire_bytes_max is None:
                self._wire_bytes_max = sizes.wire_bytes_max(self.hello())
            sizes.check_size(len(encoded), self._wire_bytes_max)
        return encoded

    def pipeline(
        self, outgoing: Iterable[OutgoingDoc], *, in_flight: int = 16, batch: int = 1, caller: Caller | None = None
    ) -> Iterator[SendResultDoc]:
        """Send messages, up to `batch` in a request, with `in_flight` unanswered; yields each result as it arrives.

        Two to four requests in flight give the highest rate, e.g. 256 messages by 64. Of a list or a tuple, up to
        eight requests go out by one system call; one that can't be encoded keeps back all of its call. A refused
        message's result has `error`. When the broker dies, no order is promised between the requests in flight.
        Raises MaestroError BROKER_UNREACHABLE or TIMEOUT: whether messages without a result were accepted is then not
        known, and sending them again with the same ids is safe. A forked child can't continue its parent's pipeline:
        BAD_REQUEST.
        """
        channel, encoded, timeout_s = self.channel, self._encoded, self._timeout_s
        speaker = self._as if caller is None else caller.as_body()
        ids: dict[bytes, list[str]] = {}
        waiting = 0
        source = iter(outgoing)
        # An iterator may wait for what its last message brings about, so that one must go out at once.
        at_once = _REQUESTS_AT_ONCE if isinstance(outgoing, list | tuple) else 1
        owner = os.getpid()

        def post(pieces: list[list[OutgoingDoc]]) -> None:
            bodies = [encoded({"messages": piece}, speaker) for piece in pieces]
            for request_id, piece in zip(channel.post_all("send", bodies, timeout_s), pieces, strict=True):
                ids[request_id] = [item["id"] for item in piece]

        try:
            while True:
                if os.getpid() != owner:
                    raise not_ours()
                pieces: list[list[OutgoingDoc]] = []
                while piece := list(islice(source, min(batch, in_flight - waiting))):
                    pieces.append(piece)
                    waiting += len(piece)
                    if len(pieces) == at_once:
                        post(pieces)
                        pieces = []
                if pieces:
                    post(pieces)
                if not ids:
                    return
                for request_id in channel.ended(ids):
                    asked = ids.pop(request_id)
                    waiting -= len(asked)
                    yield from commands.batch_results(channel.claim(request_id), asked)
        finally:
            # In a forked child the same ids are those of other requests.
            if os.getpid() == owner:
                for request_id in ids:
                    channel.forget(request_id)
