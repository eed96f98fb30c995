"""Command methods: the broker's commands as the methods of the blocking clients.

Rule: one line for each command; `commands` has what it requests and how its reply is read.
"""

from __future__ import annotations

from maestro_schemas.errors import MaestroError

from . import commands, group_commands

TYPE_CHECKING = False  # importing `typing` costs as much as a whole command of the fast path
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
    from typing import Any, Concatenate, ParamSpec, TypeVar

    from maestro_schemas.documents import (
        AnalyticsDoc,
        BlobDoc,
        BlobPartDoc,
        GroupDoc,
        IndexReplyDoc,
        MessagesDoc,
        OutgoingDoc,
        PreviewDoc,
        SearchDoc,
        SendResultDoc,
        SessionDoc,
        SessionPresenceDoc,
        ThreadsDoc,
    )

    from .callers import Caller

    P = ParamSpec("P")
    T = TypeVar("T")


def _method(prepare: Callable[P, commands.Request[T]]) -> Callable[Concatenate[CommandMethods, P], T]:
    """A command as a method, with the same arguments and the same docstring."""

    def method(self: CommandMethods, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.request(prepare(*args, **kwargs))

    method.__name__, method.__qualname__ = prepare.__name__, f"CommandMethods.{prepare.__name__}"
    method.__doc__ = prepare.__doc__
    # A traceback shows the command, not the name of this function.
    method.__code__ = method.__code__.replace(co_name=method.__name__, co_qualname=method.__qualname__)
    return method


def _sending(
    prepare: Callable[P, commands.Request[SendResultDoc]],
) -> Callable[Concatenate[CommandMethods, P], SendResultDoc]:
    """As `_method`, and files that are given by their paths are put first."""
    plain = _method(prepare)

    def method(self: CommandMethods, /, *args: P.args, **kwargs: P.kwargs) -> SendResultDoc:
        given: Any = kwargs.get("attachments", ())
        # Documents name what the post office holds already.
        if all(isinstance(each, dict) for each in given):
            return plain(self, *args, **kwargs)
        return self.send_files(prepare, args, kwargs)

    method.__name__, method.__qualname__, method.__doc__ = plain.__name__, plain.__qualname__, plain.__doc__
    return method


class CommandMethods:
    """The methods of `Client` and of `OneShotClient`; the functions of `commands` document them."""

    def call(
        self,
        command: str,
        body: Mapping[str, Any],
        *,
        timeout_s: float | None = None,
        caller: Caller | None = None,
    ) -> dict[str, Any]:
        """Send a command and wait for its reply; the reply's body."""
        raise NotImplementedError

    def request(self, request: commands.Request[T]) -> T:
        """Send a prepared request; what its reply means."""
        command, body, read, caller = request
        return read(self.call(command, body, caller=caller))

    def send_files(
        self,
        prepare: Callable[..., commands.Request[SendResultDoc]],
        arguments: tuple[Any, ...],
        named: Mapping[str, Any],
    ) -> SendResultDoc:
        """A `send` with files: `prepare` makes its request from the arguments of the call."""
        raise NotImplementedError

    def carry_out(self, steps: Generator[commands.Request[Any], Any, T]) -> T:
        """Send the requests of a generator, one after the other; what it returns. Raises as the generator."""
        try:
            asked = next(steps)
            while True:
                try:
                    outcome = self.request(asked)
                except MaestroError as error:
                    asked = steps.throw(error)
                else:
                    asked = steps.send(outcome)
        except StopIteration as end:
            result: T = end.value
            return result

    # Messages.
    hello = _method(commands.hello)
    send = _sending(commands.send)
    _send_batch = _method(commands.send_many)

    def send_many(self, outgoing: Sequence[OutgoingDoc], *, caller: Caller | None = None) -> list[SendResultDoc]:
        """As the function; an empty sequence makes no request."""
        return self._send_batch(outgoing, caller=caller) if outgoing else []

    inbox = _method(commands.inbox)
    confirm = _method(commands.confirm)
    message = _method(commands.message)
    message_with_people = _method(commands.message_with_people)
    receipt = _method(commands.receipt)
    thread = _method(commands.thread)
    dead = _method(commands.dead)

    def preview(self, to: str | list[str], *, caller: Caller | None = None, **fields: Any) -> PreviewDoc:
        """Who would get a message; `preview_commands.preview` documents the fields."""
        from . import preview_commands

        return self.request(preview_commands.preview(to, caller=caller, **fields))

    def messages(self, with_: str | None = None, *, caller: Caller | None = None, **filters: Any) -> MessagesDoc:
        """A page of what was said; `history_commands.messages` documents the filters."""
        from . import history_commands

        return self.request(history_commands.messages(with_, caller=caller, **filters))

    def message_pages(self, *, caller: Caller | None = None, **filters: Any) -> Iterator[MessagesDoc]:
        """The pages of `messages` with these filters, one after the other, the newest first; with `after` the oldest
        first, until there is none left."""
        from .history_commands import following_page

        asked: dict[str, Any] | None = filters
        while asked is not None:
            page = self.messages(caller=caller, **asked)
            yield page
            asked = following_page(page, asked)

    def search(self, query: str, *, caller: Caller | None = None, **filters: Any) -> SearchDoc:
        """The messages that a query finds; `archive_commands.search` documents the filters."""
        from . import archive_commands

        return self.request(archive_commands.search(query, caller=caller, **filters))

    def threads(self, *, caller: Caller | None = None, **filters: Any) -> ThreadsDoc:
        """The threads with an answer; `archive_commands.threads` documents the filters."""
        from . import archive_commands

        return self.request(archive_commands.threads(caller=caller, **filters))

    def analytics(self, *, caller: Caller | None = None, **filters: Any) -> AnalyticsDoc:
        """Figures of what was sent; `archive_commands.analytics` documents the filters."""
        from . import archive_commands

        return self.request(archive_commands.analytics(caller=caller, **filters))

    def rebuild_index(self, *, caller: Caller | None = None) -> IndexReplyDoc:
        """Have the search index built again; `archive_commands.rebuild_index` documents it."""
        from . import archive_commands

        return self.request(archive_commands.rebuild_index(caller=caller))

    delete = _method(commands.delete)

    # Attached files.
    def blob_stat(self, sha256: str, size: int, *, caller: Caller | None = None) -> BlobDoc:
        """What the post office holds of a blob; `blob_commands.blob_stat` documents it."""
        from . import blob_commands

        return self.request(blob_commands.blob_stat(sha256, size, caller=caller))

    def blob_put(self, sha256: str, size: int, offset: int, data: bytes, *, caller: Caller | None = None) -> BlobDoc:
        """Put a part of a blob; `blob_commands.blob_put` documents it."""
        from . import blob_commands

        return self.request(blob_commands.blob_put(sha256, size, offset, data, caller=caller))

    def blob_get(self, message_id: str, name: str, *, caller: Caller | None = None, **part: Any) -> BlobPartDoc:
        """A part of a file of a message; `blob_commands.blob_get` documents `part`."""
        from . import blob_commands

        return self.request(blob_commands.blob_get(message_id, name, caller=caller, **part))

    # Sessions.
    start_session = _method(commands.start_session)
    end_session = _method(commands.end_session)
    rename_session = _method(commands.rename_session)
    session = _method(commands.session)
    session_page = _method(commands.session_page)

    def sessions(self, *, caller: Caller | None = None, **filters: Any) -> list[SessionDoc]:
        """All sessions that fit the filters of `session_page`, page by page."""
        pages = [self.session_page(caller=caller, **filters)]
        while "next" in pages[-1]:
            pages.append(self.session_page(after=pages[-1]["next"], caller=caller, **filters))
        return commands.merged(pages)

    presence_page = _method(commands.presence_page)

    def presence(self, *, caller: Caller | None = None, **filters: Any) -> list[SessionPresenceDoc]:
        """What is known of all sessions that fit the filters of `presence_page`, page by page."""
        pages = [self.presence_page(caller=caller, **filters)]
        while "next" in pages[-1]:
            pages.append(self.presence_page(after=pages[-1]["next"], caller=caller, **filters))
        return commands.merged_presence(pages)

    touch_session = _method(commands.touch_session)
    # Groups.
    set_group = _method(group_commands.set_group)
    delete_group = _method(group_commands.delete_group)
    group = _method(group_commands.group)
    group_page = _method(group_commands.group_page)

    def groups(self, *, caller: Caller | None = None, **filters: Any) -> list[GroupDoc]:
        """All groups that fit the filters of `group_page`, page by page."""
        pages = [self.group_page(caller=caller, **filters)]
        while "next" in pages[-1]:
            pages.append(self.group_page(after=pages[-1]["next"], caller=caller, **filters))
        return [group for page in pages for group in page["groups"]]

    # The broker.
    events = _method(commands.events)
    stats = _method(commands.stats)
    drain_outbox = _method(commands.drain_outbox)
    prune = _method(commands.prune)
    shutdown = _method(commands.shutdown)
