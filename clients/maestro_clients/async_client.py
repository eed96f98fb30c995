"""AsyncClient: the broker's commands as coroutines, for any number of tasks at once.

Rule: as `client.Client`, method by method. One socket carries the requests of all tasks, and each request may speak
for another caller. For one event loop and one process: asyncio's own loop or uvloop, on systems where a loop can
watch a descriptor.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import time
from itertools import islice
from typing import TYPE_CHECKING, Any, Self, TypeVar

from maestro_schemas import NOT_REPEATABLE
from maestro_schemas.errors import MaestroError

from .channel.async_channel import AsyncChannel
from .protocol import (
    archive_commands,
    blob_commands,
    commands,
    group_commands,
    history_commands,
    preview_commands,
    sizes,
)
from .protocol.callers import Caller
from .protocol.codec import encoder
from .retry_policy import retry_async
from .transports.addresses import is_remote

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterable, Mapping, Sequence
    from types import TracebackType
    from typing import Concatenate, ParamSpec

    from maestro_schemas.documents import (
        GroupDoc,
        MessagesDoc,
        OutgoingDoc,
        SendResultDoc,
        SessionDoc,
        SessionPresenceDoc,
    )

    from .channel.core import Reply

    P = ParamSpec("P")

T = TypeVar("T")

OPERATOR = Caller()


def _method(
    prepare: Callable[P, commands.Request[T]],
) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]:
    """A command as a coroutine, with the same arguments and the same docstring."""

    async def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.request(prepare(*args, **kwargs))

    method.__name__, method.__doc__ = prepare.__name__, prepare.__doc__
    # For `help`; the blocking client does without, since `inspect` would cost each command 5 ms.
    signature = inspect.signature(prepare)
    this = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    method.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[this, *signature.parameters.values()], return_annotation=inspect.Signature.empty
    )
    return method


def _sending(
    prepare: Callable[P, commands.Request[SendResultDoc]],
) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, SendResultDoc]]:
    """As `_method`, and files that are given by their paths are put first."""
    plain = _method(prepare)

    @functools.wraps(plain)
    async def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> SendResultDoc:
        paths: Any = kwargs.get("attachments", ())
        if all(isinstance(each, dict) for each in paths):
            return await plain(self, *args, **kwargs)
        from .attachments import file_sends, outgoing_files

        named: dict[str, Any] = kwargs
        given = file_sends.GivenFiles.of(named["attachments"])
        asked = file_sends.bounds(is_remote=is_remote(self.address), speaker=self.caller, caller=named.get("caller"))
        limits = await self.carry_out(asked)
        # A disk may be slow, and other tasks go on.
        files = await asyncio.to_thread(outgoing_files.read, given.paths, limits)
        return await self.carry_out(file_sends.sent(prepare, args, named, given, files))

    return method


class AsyncClient:
    """A connection that speaks for `caller`, or for the caller that a call names. Any number of tasks may call at
    once. A task that is cancelled forgets its request, which may have been done.

    The arguments are those of `client.Client`. A client reconnects once a broker listens at its address; where the
    broker has another address now, `move` it there.
    """

    def __init__(
        self,
        address: str,
        caller: Caller = OPERATOR,
        *,
        timeout_s: float = 10.0,
        patient: bool = False,
        retry_within_s: float = 0.0,
    ) -> None:
        self.caller = caller
        self._as = caller.as_body()
        self._timeout_s = timeout_s
        self._retry_within_s = min(retry_within_s, timeout_s)
        self._channel = AsyncChannel(address, patient=patient)
        self._encode = encoder()
        self._wire_bytes_max: int | None = None

    @property
    def address(self) -> str:
        """The broker's `router` endpoint."""
        return self._channel.address

    def move(self, address: str) -> None:
        """Use the broker at another address from now on; requests without a reply are sent again there, which is
        safe. Raises MaestroError BAD_REQUEST on a closed client, BROKER_UNREACHABLE for text that is no address."""
        self._wire_bytes_max = None
        self._channel.move(address)

    async def aclose(self) -> None:
        """Close the connection; calls that wait raise BAD_REQUEST. Can be repeated."""
        self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    # --- requests ------------------------------------------------------------------------------------------

    async def request(self, request: commands.Request[T]) -> T:
        """Send a prepared request, repeated as `retry_within_s` allows; what its reply means."""
        command, body, read, caller = request
        if not self._retry_within_s or command in NOT_REPEATABLE:
            return read(await self.call(command, body, caller=caller))
        deadline_s = time.monotonic() + self._timeout_s

        async def attempt() -> T:
            left_s = max(deadline_s - time.monotonic(), 0.0)
            return read(await self.call(command, body, caller=caller, timeout_s=left_s))

        return await retry_async(attempt, within_s=self._retry_within_s)

    async def carry_out(self, steps: Generator[commands.Request[Any], Any, T]) -> T:
        """As `client.Client.carry_out`."""
        try:
            asked = next(steps)
            while True:
                try:
                    outcome = await self.request(asked)
                except MaestroError as error:
                    asked = steps.throw(error)
                else:
                    asked = steps.send(outcome)
        except StopIteration as end:
            result: T = end.value
            return result

    async def call(
        self,
        command: str,
        body: Mapping[str, Any],
        *,
        timeout_s: float | None = None,
        caller: Caller | None = None,
    ) -> dict[str, Any]:
        """Send any command once, with its caller (`caller`, or the client's own); the reply's body.

        Raises the MaestroError that the broker answers with; FRAME_TOO_LARGE for a body over the broker's limit,
        before it is sent; BROKER_UNREACHABLE or TIMEOUT where no answer came; BAD_REQUEST where the client is
        closed, or another event loop's or process's.
        """
        encoded = self._encoded(body, caller)
        if len(encoded) > commands.BYTES_ALWAYS_TAKEN:
            await self._check_size(len(encoded))
        return await self._channel.call(command, encoded, self._timeout_s if timeout_s is None else timeout_s)

    def _encoded(self, body: Mapping[str, Any], caller: Caller | None) -> bytes:
        speaker = self._as if caller is None else caller.as_body()
        return self._encode({"as": speaker, **body} if speaker else body)

    async def _check_size(self, size: int) -> None:
        if self._wire_bytes_max is None:
            self._wire_bytes_max = sizes.wire_bytes_max(await self.hello())
        sizes.check_size(size, self._wire_bytes_max)

    # --- messages ------------------------------------------------------------------------------------------

    hello = _method(commands.hello)
    send = _sending(commands.send)
    _send_batch = _method(commands.send_many)

    async def send_many(
        self, outgoing: Sequence[OutgoingDoc], *, caller: Caller | None = None
    ) -> list[SendResultDoc]:
        """As `commands.send_many`; an empty sequence makes no request."""
        return await self._send_batch(outgoing, caller=caller) if outgoing else []

    async def pipeline(
        self, outgoing: Iterable[OutgoingDoc], *, in_flight: int = 16, batch: int = 1, caller: Caller | None = None
    ) -> AsyncIterator[SendResultDoc]:
        """As `client.Client.pipeline`. A caller that stops in the middle closes it (`contextlib.aclosing`)."""
        channel, source = self._channel, iter(outgoing)
        ended: asyncio.Queue[tuple[bytes, asyncio.Future[Reply | MaestroError]]] = asyncio.Queue()
        ids: dict[bytes, list[str]] = {}
        waiting = 0

        def wait_for(request_id: bytes, future: asyncio.Future[Reply | MaestroError]) -> None:
            future.add_done_callback(lambda done: ended.put_nowait((request_id, done)))

        try:
            while True:
                while piece := list(islice(source, min(batch, in_flight - waiting))):
                    encoded = self._encoded({"messages": piece}, caller)
                    if len(encoded) > commands.BYTES_ALWAYS_TAKEN:
                        await self._check_size(len(encoded))
                    request_id, future = channel.post("send", encoded, self._timeout_s)
                    ids[request_id] = [item["id"] for item in piece]
                    waiting += len(piece)
                    wait_for(request_id, future)
                if not ids:
                    return
                request_id, future = await ended.get()
                asked = ids.pop(request_id)
                waiting -= len(asked)
                for result in commands.batch_results(future.result(), asked):
                    yield result
        finally:
            for request_id in ids:
                channel.forget(request_id)

    inbox = _method(commands.inbox)
    confirm = _method(commands.confirm)
    message = _method(commands.message)
    message_with_people = _method(commands.message_with_people)
    receipt = _method(commands.receipt)
    thread = _method(commands.thread)
    dead = _method(commands.dead)
    preview = _method(preview_commands.preview)
    messages = _method(history_commands.messages)
    search = _method(archive_commands.search)
    threads = _method(archive_commands.threads)
    analytics = _method(archive_commands.analytics)
    rebuild_index = _method(archive_commands.rebuild_index)

    async def message_pages(self, *, caller: Caller | None = None, **filters: Any) -> AsyncIterator[MessagesDoc]:
        """As `client.Client.message_pages`."""
        asked: dict[str, Any] | None = filters
        while asked is not None:
            page = await self.messages(caller=caller, **asked)
            yield page
            asked = history_commands.following_page(page, asked)

    delete = _method(commands.delete)

    # --- attached files ------------------------------------------------------------------------------------

    blob_stat = _method(blob_commands.blob_stat)
    blob_put = _method(blob_commands.blob_put)
    blob_get = _method(blob_commands.blob_get)

    # --- sessions ------------------------------------------------------------------------------------------

    start_session = _method(commands.start_session)
    end_session = _method(commands.end_session)
    rename_session = _method(commands.rename_session)
    session = _method(commands.session)
    session_page = _method(commands.session_page)

    async def sessions(self, *, caller: Caller | None = None, **filters: Any) -> list[SessionDoc]:
        """All sessions that fit the filters of `commands.session_page`, page by page."""
        pages = [await self.session_page(caller=caller, **filters)]
        while "next" in pages[-1]:
            pages.append(await self.session_page(after=pages[-1]["next"], caller=caller, **filters))
        return commands.merged(pages)

    presence_page = _method(commands.presence_page)

    async def presence(self, *, caller: Caller | None = None, **filters: Any) -> list[SessionPresenceDoc]:
        """What is known of all sessions that fit the filters of `commands.presence_page`, page by page."""
        pages = [await self.presence_page(caller=caller, **filters)]
        while "next" in pages[-1]:
            pages.append(await self.presence_page(after=pages[-1]["next"], caller=caller, **filters))
        return commands.merged_presence(pages)

    touch_session = _method(commands.touch_session)

    # --- groups --------------------------------------------------------------------------------------------

    set_group = _method(group_commands.set_group)
    delete_group = _method(group_commands.delete_group)
    group = _method(group_commands.group)
    group_page = _method(group_commands.group_page)

    async def groups(self, *, caller: Caller | None = None, **filters: Any) -> list[GroupDoc]:
        """All groups that fit the filters of `group_commands.group_page`, page by page."""
        pages = [await self.group_page(caller=caller, **filters)]
        while "next" in pages[-1]:
            pages.append(await self.group_page(after=pages[-1]["next"], caller=caller, **filters))
        return [group for page in pages for group in page["groups"]]

    # --- the broker ----------------------------------------------------------------------------------------

    events = _method(commands.events)
    stats = _method(commands.stats)
    drain_outbox = _method(commands.drain_outbox)
    prune = _method(commands.prune)
    shutdown = _method(commands.shutdown)
