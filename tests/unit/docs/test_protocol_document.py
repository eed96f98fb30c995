"""PROTOCOL.md matches the code in both directions."""

from __future__ import annotations

import json
import re
import typing
from typing import Any

import msgspec
import pytest

from maestro_schemas import PROTOCOL_HEADER, PROTOCOL_VERSION, events, limits, names, vocabularies
from maestro_schemas.commands import REPLIES, REQUESTS
from maestro_schemas.errors import CODES, MaestroError
from maestro_schemas.events import Event, EventName
from maestro_schemas.messages import Attachment, Audience, Failure, Message, Metadata
from maestro_schemas.replies import Person, SendReply
from maestro_schemas.requests import ConfirmKind, Identity
from maestro_schemas.sessions import NeedsInput, Presence, Session, SessionNote
from maestro_wire import minimal_msgpack, zmtp
from support import protocol_page
from support.protocol_page import Shape

# Types that the page shows by themselves; where one is a field's, the field's name alone is enough.
BY_THEMSELVES = {
    Message: "A Message",
    Session: "A Session",
    Event: "An Event",
    Metadata: "`metadata`",
    Identity: "`as`",
    Person: "A Person",
}
# The field of a Message or a Session that shows each.
_INSIDE = {
    Failure: "failure",
    NeedsInput: "needsInput",
    SessionNote: "timeline",
    Audience: "audience",
    Attachment: "attachments",
    Presence: "presence",
}
BESIDE = set(_INSIDE)


def differences(shape: type[msgspec.Struct], shown: Shape) -> list[str]:
    """How a Struct and what the page shows of it differ; `as` is described once, for every request."""
    fields = {field.encode_name: field for field in msgspec.structs.fields(shape) if field.encode_name != "as"}
    found = [f"{shape.__name__}.{name} is not on the page" for name in fields.keys() - shown.keys()]
    found += [f"{shape.__name__}.{name} is not in the code" for name in shown.keys() - fields.keys()]
    for name in fields.keys() & shown.keys():
        field, described = fields[name], shown[name]
        if described.optional is field.required:
            found.append(f"{shape.__name__}.{name}: the page says {'optional' if described.optional else 'required'}")
        inner = inner_struct(field.type)
        if described.inner is not None:
            assert inner is not None, f"{shape.__name__}.{name} is no document"
            found += differences(inner, described.inner)
        elif inner is not None and inner not in BY_THEMSELVES and inner not in BESIDE:
            found.append(f"{shape.__name__}.{name}: the page does not show what is in it")
    return found


def inner_struct(kind: Any) -> type[msgspec.Struct] | None:
    """The Struct in a field's type, be it optional or listed."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind
    found = [inner_struct(part) for part in typing.get_args(kind)]
    return next((part for part in found if part is not None), None)


def test_each_command_is_on_the_page_and_each_on_the_page_is_one() -> None:
    assert list(protocol_page.exchanges()) == list(REQUESTS)


@pytest.mark.parametrize("command", list(REQUESTS))
def test_the_fields_of_each_request_and_reply(command: str) -> None:
    request, reply = protocol_page.exchanges()[command]
    assert differences(REQUESTS[command], request) == []
    assert differences(REPLIES[command], reply) == []


@pytest.mark.parametrize("shape", list(BY_THEMSELVES), ids=lambda shape: shape.__name__)
def test_the_fields_of_what_is_shown_by_itself(shape: type[msgspec.Struct]) -> None:
    # The sender never sets `threadId`, so `send` shows the metadata without it and says so in words.
    shown = protocol_page.named_shape(BY_THEMSELVES[shape])
    expected = ["Metadata.threadId is not on the page"] if shape is Metadata else []
    assert differences(shape, shown) == expected


@pytest.mark.parametrize("shape", list(_INSIDE), ids=lambda shape: shape.__name__)
def test_the_fields_of_what_is_shown_inside(shape: type[msgspec.Struct]) -> None:
    outer = {**protocol_page.named_shape("A Message"), **protocol_page.named_shape("A Session")}
    name = _INSIDE[shape]
    inner = outer[name].inner
    assert inner is not None
    assert differences(shape, inner) == []


def test_a_difference_would_be_noticed() -> None:
    shown = protocol_page.shape("{active?, message?, other}")
    assert sorted(differences(NeedsInput, shown)) == [
        "NeedsInput.active: the page says optional",
        "NeedsInput.other is not in the code",
        "NeedsInput.since is not on the page",
    ]


def test_each_code_with_its_status_and_whether_it_is_worth_another_try() -> None:
    shown = {row[0].strip("`"): (int(row[1]), row[2] == "yes", row[3]) for row in protocol_page.rows("Codes")}
    assert shown == CODES
    assert {row[2] for row in protocol_page.rows("Codes")} == {"yes", "no"}


def test_every_code_in_the_text_is_one() -> None:
    named = {span for span in protocol_page.spans(protocol_page.text()) if re.fullmatch(r"[A-Z]+(_[A-Z]+)+", span)}
    assert named == {code for code in CODES if "_" in code}


def test_the_fields_of_an_error() -> None:
    shown = {name for row in protocol_page.rows("Grammar")[4:] for name in protocol_page.spans(row[0])}
    whole = MaestroError("BUSY", "a", "b", http_hint="c", retry_after_s=1.0, limit=1, actual=2, details={})
    assert shown == set(whole.body())


def test_each_event_and_its_documented_names() -> None:
    notices = protocol_page.sections("##")["Notices"]
    listed = protocol_page.spans(notices[notices.index("Events: ") : notices.index("which are no records")])
    assert listed == list(typing.get_args(EventName))
    shown = {
        row[0].strip("`"): [(span, party) for span, party in re.findall(r"`([^`]+)`(?: \((\w+)\))?", row[1])]
        for row in protocol_page.rows("Notices")
    }
    parties: dict[str, Any] = {"sender": "s", "receiver": "r", "session": "x", "by": "b"}
    for name in listed:
        expanded = events.expand(Event(lsn=1, at=1, event=typing.cast("EventName", name), **parties))
        expected = [(span, parties[party or "session"]) for span, party in shown.get(name, [])]
        assert expanded == expected, name


def test_each_allowed_value_is_named() -> None:
    spans = set(protocol_page.spans(protocol_page.text()))
    for kind in (
        vocabularies.MessageStatus,
        vocabularies.MessageType,
        vocabularies.Priority,
        vocabularies.Role,
        vocabularies.SessionStatus,
        ConfirmKind,
    ):
        assert set(typing.get_args(kind)) <= spans


def test_the_header_the_id_and_the_limits() -> None:
    spans = set(protocol_page.spans(protocol_page.text()))
    # A phrase may continue on the next line.
    page = re.sub(r"\s+", " ", protocol_page.text())
    assert f"Version {PROTOCOL_VERSION} (`{PROTOCOL_HEADER.decode()}`)" in page
    assert names.ID_PATTERN in spans
    assert {span for span in spans if re.fullmatch(r"[a-z]+(_[a-z]+)+(_max|_limit)|[a-z]+_limit", span)} <= set(
        limits.DOCS
    )
    defaults = limits.Limits()
    assert f"1 to {defaults.batch_messages_max} →" in page
    assert f"at most {defaults.reply_bytes_max >> 10} KiB" in page
    assert f"at most {defaults.data_bytes_max >> 10} KiB as JSON" in page
    assert f"at most {defaults.session_metadata_bytes_max >> 10} KiB." in page
    assert f"at most {limits.VIA_CHARS_MAX} characters" in page
    assert f"1 to {limits.REQUEST_ID_BYTES_MAX} bytes" in page
    assert f"`wire_bytes_max` ({defaults.wire_bytes_max >> 20} MiB)" in page
    assert f"over {limits.SOCKET_PATH_BYTES_MAX} bytes" in page


def test_each_limit_with_its_default() -> None:
    """As `hello` names it, in its unit, with its meaning."""
    shown = {row[0].strip("`"): (row[1], row[2]) for row in protocol_page.rows("Defaults")}
    assert set(shown) == set(limits.DOCS)
    for name, value in limits.Limits()._asdict().items():
        doc = limits.DOCS[name]
        words, meaning = shown[name]
        assert meaning == doc.text
        if isinstance(value, str):
            assert words == f"`{value}`"
        elif doc.unit == "ms" and value:
            assert words == limits.duration_text(value)
        else:
            unit = {"chars": " characters", "bytes": " bytes"}.get(doc.unit, "")
            assert words == f"{value:,}{unit}"


def test_the_constants_of_the_design() -> None:
    fixed = protocol_page.sections("##")["Defaults"].partition("Fixed:")[2]
    words = re.sub(r"\s+", " ", fixed)
    assert (limits.RATE_WINDOW_MS, limits.PAIR_WINDOW_MS, limits.SHORT_REPLY_QUIET_MS) == (60_000, 600_000, 60_000)
    assert "sliding minute" in words
    assert f"at most {limits.SHORT_REPLY_CHARS} characters" in words
    assert f"at most {limits.ADDRESSES_MAX} addresses" in words
    assert f"at most {limits.DELIVERIES_MAX:,} deliveries" in words


def test_the_exchange_is_what_the_codec_writes_and_reads() -> None:
    """The opening of a DEALER, a request as the client packs it, and a reply as the broker's type reads it."""
    section = protocol_page.sections("##")["One exchange with its bytes"]
    opening, request, reply = (bytes.fromhex(" ".join(block)) for block in protocol_page.blocks(section))
    assert opening == zmtp.DEALER_OPENING
    body = {"messages": [{"id": "plan-7", "to": "bob", "message": "Hi"}], "as": {"session": "ann"}}
    shown = [json.loads(re.sub(r"\s+", " ", span)) for span in protocol_page.spans(section) if span.startswith("{")]
    assert shown[0] == body
    assert request == zmtp.message((PROTOCOL_HEADER, b"1", b"send", minimal_msgpack.pack(body)))
    connection = zmtp.ZmtpConnection(zmtp.DEALERS_PEERS, 1 << 20)
    connection.receive(zmtp.ROUTER_OPENING + reply)
    [[header, request_id, status, packed]] = connection.messages
    assert (header, request_id, status) == (PROTOCOL_HEADER, b"1", b"200")
    assert msgspec.msgpack.decode(packed) == shown[1]
    [result] = msgspec.msgpack.decode(packed, type=SendReply).results
    assert result.id == names.canonical_id("plan-7", names.mark_of("ann"))
    assert f"`{names.mark_of('ann')}` is the mark of `ann`" in re.sub(r"\s+", " ", section)
