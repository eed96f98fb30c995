"""Log view: finds the newest messages that are wanted, prints them with their texts, and follows new ones.

Rule: reading the log marks nothing: what is shown here is still new mail of its receiver. The cursor decides what
was printed, so a restart of the broker loses and repeats nothing.
"""

from __future__ import annotations

from maestro_cli.context import now_ms
from maestro_cli.output import streams
from maestro_cli.output.tables import terminal_width
from maestro_clients.texts.display_names import correspondent
from maestro_clients.texts.short_ids import ShortIds
from maestro_schemas.names import AUDIENCE_SIGIL, SYSTEM_SENDER

from .log_lines import SessionNames, block, flat

TYPE_CHECKING = False  # `typing` costs more than this module
if TYPE_CHECKING:
    from typing import Any

    from maestro_cli.context import CommandContext
    from maestro_clients.one_shot_client import AnyClient
    from maestro_schemas.documents import MessagesDoc, SaidMessageDoc

_PAGE = 200


class LogQuery:
    """Which messages are wanted."""

    def __init__(
        self,
        peer: str | None = None,
        session: str | None = None,
        box: str | None = None,
        since: int | None = None,
        limit: int = 20,
    ) -> None:
        # A session or a group, as it was given.
        self.peer = peer
        # Whose mail it is.
        self.session = session
        self.box = box
        self.since = since
        # The most messages before those that follow.
        self.limit = limit

    def filters(self) -> dict[str, Any]:
        """The filters, as arguments of `Client.messages`."""
        return {"with_": self.peer, "session": self.session, "box": self.box, "since": self.since, "counts": True}


class LogPage:
    """What was found."""

    def __init__(self, messages: list[SaidMessageDoc], cursor: int, *, has_more: bool) -> None:
        # The oldest first.
        self.messages = messages
        # The LSN after which to continue.
        self.cursor = cursor
        # Whether there are older ones.
        self.has_more = has_more


class LogView:
    """One `maestro log`."""

    def __init__(self, context: CommandContext, query: LogQuery, *, as_json: bool) -> None:
        self._context = context
        self._query = query
        self._as_json = as_json
        self._names = SessionNames()
        self._short = ShortIds()
        self._width = terminal_width(context.environ)

    def run(self, *, follow: bool) -> int:
        """Print what was said, and with `follow` what is said from now on; returns the exit code. Raises
        MaestroError, StdoutClosed, KeyboardInterrupt."""
        with self._context.client() as client:
            self._resolve(client)
            found = self.find(client)
            topic = self._topic(client) if follow else None
        for message in found.messages:
            self.show(message)
        if follow:
            self._follow(topic, found.cursor)
        elif not found.messages and not self._as_json:
            streams.say("Nothing was said yet.")
        elif found.has_more:
            streams.note(f"maestro: these are the newest {len(found.messages)}; --limit shows more")
        return 0

    def find(self, client: AnyClient) -> LogPage:
        """The newest `limit` messages."""
        found: list[SaidMessageDoc] = []
        left, before, cursor = self._query.limit, None, 0
        has_more = True
        while left and has_more:
            page = client.messages(before=before, limit=min(left, _PAGE), **self._query.filters())
            if before is None:
                cursor = page["upTo"]
            self._learn(page)
            found = page["messages"] + found
            left -= len(page["messages"])
            before, has_more = page["before"], page["hasMore"]
        return LogPage(found, cursor, has_more=has_more)

    def _learn(self, page: MessagesDoc) -> None:
        self._names.learn(page["people"])
        self._short.add_messages(said["message"] for said in page["messages"])

    def show(self, message: SaidMessageDoc) -> None:
        """Print one message. A log fetches no file: it may name many."""
        self._context.locate([message["message"]], None)
        if self._as_json:
            streams.say_json(flat(message))
        else:
            streams.say(block(message, self._names, now_ms(), self._width, self._short))

    def _resolve(self, client: AnyClient) -> None:
        """Say whom a name means: another session may have it now than before. From then on its id is meant."""
        query = self._query
        query.peer = _resolved(client, query.peer, "with")
        query.session = _resolved(client, query.session, "the mail of")

    def _topic(self, client: AnyClient) -> str | None:
        """The session whose notices wake the log. None: an orchestrator's, the operator's and a group's log have mail
        of others."""
        peer = self._query.peer or ""
        if self._query.session is not None or self._context.own_session is None or peer.startswith(AUDIENCE_SIGIL):
            return None
        own = client.session()
        return None if own["role"] == "orchestrator" else own["id"]

    def _follow(self, topic: str | None, cursor: int) -> None:
        at = cursor

        def catch_up(client: AnyClient) -> bool:
            nonlocal at
            for page in client.message_pages(after=at, limit=_PAGE, **self._query.filters()):
                self._learn(page)
                for message in page["messages"]:
                    self.show(message)
                at = page["upTo"]
            return True

        from maestro_cli import following

        following.follow(self._context, topic, catch_up)


def _resolved(client: AnyClient, address: str | None, what: str) -> str | None:
    if address is None or address.startswith(AUDIENCE_SIGIL) or address == SYSTEM_SENDER:
        return address
    found = client.session(address)
    if found["id"] != address:
        ended = ", who has ended" if "completedAt" in found else ""
        streams.note(f"maestro: {what} {correspondent(found['id'], found)}{ended}")
    return found["id"]
