"""The generated TypedDicts of clients have the fields of the broker's Structs."""

from __future__ import annotations

import types
import typing
from typing import Any

import msgspec
import pytest

from maestro_schemas import documents, messages, outbox_entry, replies, requests, sessions
from maestro_schemas.bodies import archive, attachments, previews
from maestro_schemas.errors import MaestroError
from maestro_schemas.events import Event
from maestro_schemas.outbox_entry import OutboxEntry

PAIRS: dict[Any, type[msgspec.Struct]] = {
    documents.MetadataDoc: messages.Metadata,
    documents.FailureDoc: messages.Failure,
    documents.AudienceDoc: messages.Audience,
    documents.AttachmentDoc: messages.Attachment,
    documents.MessageDoc: messages.Message,
    documents.NeedsInputDoc: sessions.NeedsInput,
    documents.SessionNoteDoc: sessions.SessionNote,
    documents.WakeStateDoc: sessions.WakeState,
    documents.PresenceDoc: sessions.Presence,
    documents.SessionDoc: sessions.Session,
    documents.SessionsDoc: replies.SessionsReply,
    documents.SessionPresenceDoc: replies.SessionPresence,
    documents.PresencesDoc: replies.PresenceReply,
    documents.EventDoc: Event,
    documents.OutgoingDoc: requests.Outgoing,
    documents.ErrorDoc: replies.ErrorBody,
    documents.OutboxEntryDoc: requests.OutboxFile,
    documents.PersonDoc: replies.Person,
    documents.RecipientResultDoc: replies.RecipientResult,
    documents.SendResultDoc: replies.SendResult,
    documents.PreviewDoc: previews.PreviewReply,
    documents.InboxDoc: replies.InboxReply,
    documents.ItemResultDoc: replies.ItemResult,
    documents.MessageReplyDoc: replies.MessageReply,
    documents.ReceiptCountsDoc: replies.ReceiptCounts,
    documents.RecipientReceiptDoc: replies.RecipientReceipt,
    documents.ReceiptDoc: replies.ReceiptReply,
    documents.ThreadDoc: replies.ThreadReply,
    documents.DeadDoc: replies.DeadReply,
    documents.BlobDoc: attachments.BlobReply,
    documents.BlobPartDoc: attachments.BlobPartReply,
    documents.MemberDoc: replies.MemberShown,
    documents.GroupDoc: replies.GroupShown,
    documents.GroupReplyDoc: replies.GroupReply,
    documents.GroupDeletedDoc: replies.GroupDeletedReply,
    documents.GroupsDoc: replies.GroupsReply,
    documents.SaidMessageDoc: replies.SaidMessage,
    documents.MessagesDoc: replies.MessagesReply,
    documents.IndexStateDoc: archive.IndexState,
    documents.SearchHitDoc: archive.SearchHit,
    documents.ThreadSummaryDoc: archive.ThreadSummary,
    documents.VolumeDoc: archive.Volume,
    documents.OutcomeDoc: archive.Outcome,
    documents.TimesDoc: archive.Times,
    documents.AnswerTimesDoc: archive.AnswerTimes,
    documents.SeriesDoc: archive.Series,
    documents.RouteDoc: archive.Route,
    documents.PairDoc: archive.Pair,
    documents.NamedCountDoc: archive.NamedCount,
    documents.SessionFiguresDoc: archive.SessionFigures,
    documents.UnansweredDoc: archive.Unanswered,
    documents.SearchDoc: archive.SearchReply,
    documents.ThreadsDoc: archive.ThreadsReply,
    documents.AnalyticsDoc: archive.AnalyticsReply,
    documents.IndexReplyDoc: archive.IndexReply,
    documents.EventsDoc: replies.EventsReply,
    documents.HelloDoc: replies.HelloReply,
    documents.SweptDoc: replies.Swept,
    documents.PruneDoc: replies.PruneReply,
}


def plain(kind: Any) -> Any:
    """A field's type in a TypedDict: a Literal is its words' type, a tuple a list, a Struct its document."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return type(parts[0])
    if origin in (typing.Union, types.UnionType):
        rest = {plain(part) for part in parts if part not in (type(None), msgspec.UnsetType)}
        return rest.pop() if len(rest) == 1 else frozenset(rest)
    if origin in (list, tuple):
        return ("list", plain(parts[0]))
    if origin is typing.Annotated:
        return plain(parts[0])
    if origin is dict:
        return ("map", *map(plain, parts))
    return next((doc for doc, shape in PAIRS.items() if shape is kind), kind)


@pytest.mark.parametrize("doc", list(PAIRS), ids=lambda doc: doc.__name__)
def test_the_same_fields_with_the_same_types(doc: Any) -> None:
    fields = {field.encode_name: field for field in msgspec.structs.fields(PAIRS[doc])}
    hints = typing.get_type_hints(doc)
    assert set(hints) == set(fields)
    for name, hint in hints.items():
        # The broker writes an error as a map; the client reads it as a document.
        expected = documents.ErrorDoc if name == "error" else plain(fields[name].type)
        assert plain(hint) == expected, name


@pytest.mark.parametrize("doc", list(PAIRS), ids=lambda doc: doc.__name__)
def test_the_same_fields_may_be_absent(doc: Any) -> None:
    required = {field.encode_name for field in msgspec.structs.fields(PAIRS[doc]) if field.required}
    assert doc.__required_keys__ == required


def test_every_document_has_a_struct() -> None:
    all_docs = {found for name, found in vars(documents).items() if name.endswith("Doc")}
    assert all_docs == set(PAIRS)


def test_an_error_has_the_fields_of_its_document() -> None:
    longest = MaestroError("BUSY", "a", "b", http_hint="c", retry_after_s=1.0, limit=1, actual=2, details={})
    assert set(longest.body()) == set(typing.get_type_hints(documents.ErrorDoc))
    assert set(MaestroError("BUSY", "a").body()) == documents.ErrorDoc.__required_keys__
    msgspec.convert(longest.body(), documents.ErrorDoc)


def test_an_outbox_entry_has_the_fields_of_its_document() -> None:
    outgoing = {"id": "m", "to": "bob", "message": "x"}
    longest = msgspec.json.decode(
        outbox_entry.encode(OutboxEntry(1, "s", "t", outgoing, {"code": "A", "message": ""}))
    )
    shortest = msgspec.json.decode(outbox_entry.encode(OutboxEntry(1, "s", None, outgoing)))
    assert set(longest) == set(typing.get_type_hints(documents.OutboxEntryDoc))
    assert set(shortest) == documents.OutboxEntryDoc.__required_keys__
    msgspec.convert(longest, documents.OutboxEntryDoc)
