"""Client: the broker's commands as methods that wait for their answer.

Rule: one method a command (`commands` says what each takes and gives), and no policy: nothing is retried here that
was answered, nothing is started, nothing is queued (see `sending` and `retry_policy`). Not for two threads at once;
open one for each, they are cheap.
"""

from __future__ import annotations

import os
from itertools import islice
from typing import TYPE_CHECKING, Any, Self

from maestro_schemas.errors import MaestroError

from .channel.sync_channel import SyncChannel
from .channel.unanswered import not_ours
from .protocol import commands
from .protocol.callers import Caller
from .protocol.codec import encoder
from .protocol.methods import CommandMethods

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from types import TracebackType

    from maestro_schemas.documents import OutgoingDoc, SendResultDoc

OPERATOR = Caller()


class Client(CommandMethods):
    """An open connection that speaks for `caller`.

    `address`: a broker's `router` endpoint. `timeout_s`: of each call that names no other. `patient`: a call waits
    for a broker that is gone until its timeout, instead of raising BROKER_UNREACHABLE after 0.3 s.
    """

    def __init__(
        self,
        address: str,
        caller: Caller = OPERATOR,
        *,
        timeout_s: float = 10.0,
        patient: bool = False,
        channel: SyncChannel | None = None,
    ) -> None:
        self.address = address
        self.caller = caller
        self._as = caller.as_body()
        self._timeout_s = timeout_s
        self._owns_channel = channel is None
        # For a watcher, which waits for replies and notices together.
        self.channel = SyncChannel(address, patient=patient) if channel is None else channel
        self._encode = encoder()
        self._wire_bytes_max: int | None = None

    def open(self) -> bool:
        """Connect now, and not with the first call; False where no broker listens. A broker on another machine is
        connected to in the background: True."""
        return self.channel.open()

    def sharing(self, caller: Caller | None = None, *, timeout_s: float | None = None) -> Client:
        """A client over this client's connection, for another caller or with another timeout. Its `close` leaves the
        connection open."""
        return Client(
            self.address,
            self.caller if caller is None else caller,
            timeout_s=self._timeout_s if timeout_s is None else timeout_s,
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

    # --- the one way through -------------------------------------------------------------------------------

    def call(
        self,
        command: str,
        body: Mapping[str, Any],
        *,
        timeout_s: float | None = None,
        caller: Caller | None = None,
    ) -> dict[str, Any]:
        """Any command: adds who asks (`caller`, or the client's own), and gives the answer's body.

        Raises the MaestroError that the broker answers with; FRAME_TOO_LARGE for a body over the broker's limit,
        before it is sent; BROKER_UNREACHABLE or TIMEOUT where no answer came.
        """
        encoded = self._encoded(body, self._as if caller is None else caller.as_body())
        return self.channel.call(command, encoded, self._timeout_s if timeout_s is None else timeout_s)

    def _encoded(self, body: Mapping[str, Any], speaker: Mapping[str, str]) -> bytes:
        encoded = self._encode({"as": speaker, **body} if speaker else body)
        if len(encoded) > commands.BYTES_ALWAYS_TAKEN:
            if self._wire_bytes_max is None:
                self._wire_bytes_max = commands.wire_bytes_max(self.hello())
            commands.check_size(len(encoded), self._wire_bytes_max)
        return encoded

    def pipeline(
        self, outgoing: Iterable[OutgoingDoc], *, in_flight: int = 16, batch: int = 1, caller: Caller | None = None
    ) -> Iterator[SendResultDoc]:
        """Messages, up to `batch` a request, `in_flight` unanswered at a time; yields each result as it comes.

        The most messages a second go through with two to four requests in flight, e.g. 256 by 64. A refused message's
        result has `error`. No order is promised between requests in flight when the broker dies. Raises MaestroError
        BROKER_UNREACHABLE or TIMEOUT: what was not yielded is then unknown, and sending it again with the same ids is
        safe. A forked child can't go on with its parent's: BAD_REQUEST.
        """
        line, encoded, timeout_s = self.channel, self._encoded, self._timeout_s
        speaker = self._as if caller is None else caller.as_body()
        ids: dict[bytes, list[str]] = {}
        waiting = 0
        source = iter(outgoing)
        owner = os.getpid()
        try:
            while True:
                if os.getpid() != owner:
                    raise not_ours()
                while piece := list(islice(source, min(batch, in_flight - waiting))):
                    request_id = line.post("send", encoded({"messages": piece}, speaker), timeout_s)
                    ids[request_id] = [item["id"] for item in piece]
                    waiting += len(piece)
                if not ids:
                    return
                for request_id in line.ended(ids):
                    asked = ids.pop(request_id)
                    waiting -= len(asked)
                    yield from _claimed(line, request_id, asked)
        finally:
            # In a forked child the same request ids are others' requests.
            if os.getpid() == owner:
                for request_id in ids:
                    line.forget(request_id)


def _claimed(line: SyncChannel, request_id: bytes, message_ids: list[str]) -> list[SendResultDoc]:
    """The results of one request; a refusal of the whole of it is each message's."""
    try:
        answer = line.claim(request_id)
    except MaestroError as error:
        return [commands.refused_result(message_id, error) for message_id in message_ids]
    return commands.results(answer, len(message_ids))
