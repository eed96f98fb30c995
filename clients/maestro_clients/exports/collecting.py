"""Collecting: the requests that bring what an export holds.

Rule: a collection is a generator of requests and does no I/O. Its driver, blocking or asynchronous, sends each of
them and gives back its outcome. The broker decides for each request what the caller may see. Nothing is marked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from maestro_clients.protocol import archive_commands, commands, history_commands
from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import EXPORT_TEXT_CHARS_MAX
from maestro_schemas.names import AUDIENCE_SIGIL, SYSTEM_SENDER

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from maestro_clients.protocol.callers import Caller
    from maestro_clients.protocol.commands import Request
    from maestro_schemas.documents import MessageDoc, PersonDoc, ReceiptDoc, SaidMessageDoc

_PAGE = 200
# The status of a message's copy, by the state of its receipt where that says more.
_STATUS_OF = {"offered": "pending", "answered": "read"}


class ExportQuery(NamedTuple):
    """What was asked for. Without `thread`, `peer`, `session` and `query` it is all that the caller may see."""

    # Any message of a thread.
    thread: str | None = None
    # The other party: a session, or `@` and a group's name.
    peer: str | None = None
    # Whose mail.
    session: str | None = None
    # In the syntax of the search.
    query: str | None = None
    # Times in ms.
    since: int | None = None
    until: int | None = None
    # The most messages, the newest; None for all.
    limit: int | None = None
    # Bound the texts too: for an export that is held in a memory that others share.
    bounded: bool = False
    # Also the receipt of each message, where the caller may see that.
    receipts: bool = False


class ExportEntry(NamedTuple):
    """One message, however many deliveries it has."""

    said: SaidMessageDoc
    receipt: ReceiptDoc | None = None

    @property
    def message(self) -> MessageDoc:
        """The message."""
        return self.said["message"]

    @property
    def thread(self) -> str:
        """The id of its thread's first message."""
        return self.message.get("metadata", {}).get("threadId", self.message["id"])


class Export(NamedTuple):
    """What was found."""

    query: ExportQuery
    # The oldest first.
    entries: list[ExportEntry]
    people: dict[str, PersonDoc]
    # There are older messages.
    has_more: bool


class Collection:
    """A collection. `found` is the number of messages so far, for a display of the progress."""

    def __init__(self, query: ExportQuery, caller: Caller | None = None) -> None:
        self.found = 0
        self._query = query
        self._caller = caller
        self._people: dict[str, PersonDoc] = {}
        # By id, the newest first.
        self._said: dict[str, SaidMessageDoc] = {}
        self._chars = 0

    def steps(self) -> Generator[Request[Any], Any, Export]:
        """The requests, in order; each is answered with what its reply means, or by throwing its MaestroError."""
        query = self._query
        if query.thread is not None:
            has_more = yield from self._thread(query.thread)
        elif query.query is not None:
            has_more = yield from self._search(query.query)
        else:
            yield from self._resolve()
            has_more = yield from self._messages()
        entries = []
        for number, said in enumerate(sorted(self._said.values(), key=lambda each: each["lsn"]), start=1):
            is_unclear = len(said.get("receivers", ())) > 1 and "counts" not in said
            receipt = (yield from self._receipt(said)) if query.receipts or is_unclear else None
            if receipt is not None and is_unclear:
                said["counts"] = _counted(receipt)
            entries.append(ExportEntry(said, receipt if query.receipts else None))
            self.found = number
        return Export(self._query, entries, self._people, has_more)

    def _take(self, said: SaidMessageDoc) -> bool:
        """Take a message in, unless it is out of time or there already. Returns False where the export is full."""
        message = said["message"]
        query, at = self._query, message["createdAt"]
        if (query.since is not None and at < query.since) or (query.until is not None and at >= query.until):
            return True
        if message["id"] in self._said:
            return True
        chars = self._chars + len(message["message"])
        if query.limit is not None and len(self._said) >= query.limit:
            return False
        if query.bounded and chars > EXPORT_TEXT_CHARS_MAX and self._said:
            return False
        self._chars = chars
        self._said[message["id"]] = said
        self.found = len(self._said)
        return True

    def _resolve(self) -> Generator[Request[Any], Any, None]:
        """Say by its id what a name means, in what the export says of itself."""
        query = self._query
        if query.session is not None:
            query = query._replace(session=(yield from self._known(query.session)))
        if query.peer is not None and not query.peer.startswith(AUDIENCE_SIGIL) and query.peer != SYSTEM_SENDER:
            query = query._replace(peer=(yield from self._known(query.peer)))
        self._query = query

    def _known(self, address: str) -> Generator[Request[Any], Any, str]:
        session = yield commands.session(address, caller=self._caller)
        person: PersonDoc = {"role": session["role"]}
        if "name" in session:
            person["name"] = session["name"]
        self._people.setdefault(session["id"], person)
        return str(session["id"])

    def _messages(self) -> Generator[Request[Any], Any, bool]:
        query, before = self._query, None
        while True:
            page = yield history_commands.messages(
                query.peer,
                session=query.session,
                since=query.since,
                until=query.until,
                before=before,
                limit=_PAGE,
                counts=True,
                caller=self._caller,
            )
            self._people |= page["people"]
            if not all(self._take(said) for said in reversed(page["messages"])):
                return True
            if not page["hasMore"]:
                return False
            before = page["before"]

    def _search(self, text: str) -> Generator[Request[Any], Any, bool]:
        query, before = self._query, None
        while True:
            page = yield archive_commands.search(
                text, session=query.session, before=before, limit=_PAGE, caller=self._caller
            )
            self._people |= page["people"]
            if not all(self._take(said) for said in _hits(page["hits"])):
                return True
            oldest = page["hits"][-1]["message"]["createdAt"] if page["hits"] else 0
            if not page["hasMore"] or (query.since is not None and oldest < query.since):
                return False
            before = page["before"]

    def _thread(self, message_id: str) -> Generator[Request[Any], Any, bool]:
        found = yield commands.thread(message_id, people=True, caller=self._caller)
        thread = found["threadId"]
        self._query = self._query._replace(thread=thread)
        if found["hasMore"]:
            # Longer than one reply.
            return (yield from self._search(f"thread:{thread}"))
        self._people |= found["people"]
        copies: dict[str, list[MessageDoc]] = {}
        for message in found["messages"]:
            copies.setdefault(message["id"], []).append(message)
        # A thread's reply has no numbers of the records; its order is theirs.
        saids = [_of_copies(number, each) for number, each in enumerate(copies.values(), start=1)]
        return not all(self._take(said) for said in reversed(saids))

    def _receipt(self, said: SaidMessageDoc) -> Generator[Request[Any], Any, ReceiptDoc | None]:
        try:
            receipt: ReceiptDoc = yield commands.receipt(said["message"]["id"], caller=self._caller)
        except MaestroError as error:
            if error.kind != "client":
                raise
            return None  # it is for the sender, and gone where the message was deleted since
        return receipt


def _counted(receipt: ReceiptDoc) -> dict[str, int]:
    """The statuses of a receipt's lines, as `messages` counts them."""
    counts: dict[str, int] = {}
    for line in receipt["recipients"]:
        status = _STATUS_OF.get(line["state"], line["state"])
        counts[status] = counts.get(status, 0) + 1
    return counts


def _hits(hits: list[Any]) -> Iterator[SaidMessageDoc]:
    for hit in hits:
        said: SaidMessageDoc = {"lsn": hit["lsn"], "message": hit["message"]}
        if hit.get("receivers"):
            said["receivers"] = hit["receivers"]
        yield said


def _of_copies(number: int, copies: list[MessageDoc]) -> SaidMessageDoc:
    said: SaidMessageDoc = {"lsn": number, "message": copies[0]}
    if len(copies) > 1:
        counts: dict[str, int] = {}
        for copy in copies:
            counts[copy["status"]] = counts.get(copy["status"], 0) + 1
        said["receivers"] = [copy["to"] for copy in copies]
        said["counts"] = counts
    return said
