"""Document writer: the source of `documents`, from the Structs.

Rule: a client decodes with plain msgpack and must not import msgspec, so it needs the Structs' shapes as TypedDicts.
They are generated (`just schemas`) and never edited. A Literal becomes `str` there, since a newer broker may send a
word that this version does not know.
"""

from __future__ import annotations

import keyword
import re
import textwrap
import types
import typing
from typing import Any

import msgspec
from msgspec import Struct

from maestro_schemas import events, messages, replies, requests, sessions
from maestro_schemas.bodies import archive, attachments, previews

from .field_comments import field_comments

LINE_CHARS_MAX = 118
_CODE_SPAN = re.compile(r"`(\w+)`")

# TypedDict -> its Struct. A type stands below those that it uses.
DOCUMENTS: dict[str, type[Struct]] = {
    "MetadataDoc": messages.Metadata,
    "FailureDoc": messages.Failure,
    "AudienceDoc": messages.Audience,
    "AttachmentDoc": messages.Attachment,
    "MessageDoc": messages.Message,
    "NeedsInputDoc": sessions.NeedsInput,
    "SessionNoteDoc": sessions.SessionNote,
    "WakeStateDoc": sessions.WakeState,
    "PresenceDoc": sessions.Presence,
    "SessionDoc": sessions.Session,
    "SessionsDoc": replies.SessionsReply,
    "SessionPresenceDoc": replies.SessionPresence,
    "PresencesDoc": replies.PresenceReply,
    "EventDoc": events.Event,
    "OutgoingDoc": requests.Outgoing,
    "ErrorDoc": replies.ErrorBody,
    "OutboxEntryDoc": requests.OutboxFile,
    "PersonDoc": replies.Person,
    "RecipientResultDoc": replies.RecipientResult,
    "SendResultDoc": replies.SendResult,
    "PreviewDoc": previews.PreviewReply,
    "InboxDoc": replies.InboxReply,
    "MessageReplyDoc": replies.MessageReply,
    "ReceiptCountsDoc": replies.ReceiptCounts,
    "RecipientReceiptDoc": replies.RecipientReceipt,
    "ReceiptDoc": replies.ReceiptReply,
    "ThreadDoc": replies.ThreadReply,
    "DeadDoc": replies.DeadReply,
    "SaidMessageDoc": replies.SaidMessage,
    "MessagesDoc": replies.MessagesReply,
    "IndexStateDoc": archive.IndexState,
    "SearchHitDoc": archive.SearchHit,
    "SearchDoc": archive.SearchReply,
    "ThreadSummaryDoc": archive.ThreadSummary,
    "ThreadsDoc": archive.ThreadsReply,
    "VolumeDoc": archive.Volume,
    "OutcomeDoc": archive.Outcome,
    "TimesDoc": archive.Times,
    "AnswerTimesDoc": archive.AnswerTimes,
    "SeriesDoc": archive.Series,
    "RouteDoc": archive.Route,
    "PairDoc": archive.Pair,
    "NamedCountDoc": archive.NamedCount,
    "SessionFiguresDoc": archive.SessionFigures,
    "UnansweredDoc": archive.Unanswered,
    "AnalyticsDoc": archive.AnalyticsReply,
    "IndexReplyDoc": archive.IndexReply,
    "ItemResultDoc": replies.ItemResult,
    "BlobDoc": attachments.BlobReply,
    "BlobPartDoc": attachments.BlobPartReply,
    "MemberDoc": replies.MemberShown,
    "GroupDoc": replies.GroupShown,
    "GroupReplyDoc": replies.GroupReply,
    "GroupDeletedDoc": replies.GroupDeletedReply,
    "GroupsDoc": replies.GroupsReply,
    "EventsDoc": replies.EventsReply,
    "HelloDoc": replies.HelloReply,
    "SweptDoc": replies.Swept,
    "PruneDoc": replies.PruneReply,
}

_NAMES = {shape: name for name, shape in DOCUMENTS.items()}
_HEAD = '''"""Documents: what comes off the wire, as clients see it.

Rule: generated from the Structs by `just schemas`; never edited. Clients decode with plain msgpack, and these
TypedDicts are the shapes of what they get.
"""

# No `from __future__ import annotations`: TypedDict would not see which fields are NotRequired.
from typing import Any, NotRequired, TypedDict
'''


def render() -> str:
    """The text of `documents.py`, formatted as ruff formats it."""
    return "\n\n".join([_HEAD, *(_typed_dict(name, shape) for name, shape in DOCUMENTS.items())])


def _typed_dict(name: str, shape: type[Struct]) -> str:
    fields = msgspec.structs.fields(shape)
    comments = field_comments(shape)
    # A keyword can't be the name of a class attribute.
    quoted = next((field.encode_name for field in fields if keyword.iskeyword(field.encode_name)), None)
    source = f"{shape.__module__.rpartition('.')[2]}.{shape.__name__}"
    lines = [f"# `{source}`. In the functional form, because `{quoted}` is a keyword."] if quoted else []
    lines += [f"{name} = TypedDict(", f'    "{name}",', "    {"] if quoted else [f"class {name}(TypedDict):"]
    lines += [] if quoted else [f'    """`{source}`."""', ""]
    indent = "        " if quoted else "    "
    for field in fields:
        prefix = f"{indent}# "
        comment = in_wire_names(shape, comments.get(field.name, ""))
        lines += textwrap.wrap(comment, LINE_CHARS_MAX, initial_indent=prefix, subsequent_indent=prefix)
        kind = type_text(f"{name}.{field.encode_name}", field.type)
        kind = kind if field.required else f"NotRequired[{kind}]"
        lines.append(f'{indent}"{field.encode_name}": {kind},' if quoted else f"{indent}{field.encode_name}: {kind}")
    lines += ["    },", ")"] if quoted else []
    return "\n".join(lines) + "\n"


def type_text(where: str, kind: Any) -> str:
    """The source text of a field's type in a TypedDict. `where` is the field, for what its type can't say."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if where.endswith(".error"):
        # The broker writes an error as a map, so that a newer one may add to it.
        return "ErrorDoc"
    if origin is typing.Literal:
        return type(parts[0]).__name__
    if origin is typing.Annotated:
        return type_text(where, parts[0])
    if origin in (typing.Union, types.UnionType):
        texts = {type_text(where, part) for part in parts if part not in (type(None), msgspec.UnsetType)}
        return " | ".join(sorted(texts))
    if origin in (list, tuple):
        return f"list[{type_text(where, parts[0])}]"
    if origin is dict:
        return f"dict[{', '.join(type_text(where, part) for part in parts)}]"
    if kind is Any:
        return "Any"
    return _NAMES.get(kind) or str(kind.__name__)


def in_wire_names(shape: type[Struct], text: str) -> str:
    """`text` with the Python names of the Struct's fields, in backticks, replaced by the names on the wire."""
    wire = {field.name: field.encode_name for field in msgspec.structs.fields(shape)}
    return _CODE_SPAN.sub(lambda span: f"`{wire.get(span[1], span[1])}`", text)
