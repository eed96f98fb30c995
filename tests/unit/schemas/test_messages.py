"""Messages and sessions: absent fields are left out, unknown fields are ignored or refused."""

from __future__ import annotations

import typing

import msgspec
import pytest

import maestro_schemas
from maestro_schemas.messages import PRIORITY_RANK, Message, Metadata
from maestro_schemas.sessions import ACTIVE, Session, StoredSession
from maestro_schemas.vocabularies import ActiveStatus, EndStatus, Priority, SessionStatus

DOCUMENT = {
    "id": "msg_1",
    "from": "sess_a",
    "to": "sess_b",
    "message": "Ready",
    "status": "pending",
    "seq": 1,
    "createdAt": 1_770_536_761_607,
}


def test_the_documented_names_are_the_files_names() -> None:
    message = msgspec.convert(DOCUMENT, Message)
    assert (message.sender, message.receiver, message.text) == ("sess_a", "sess_b", "Ready")
    assert msgspec.to_builtins(message) == DOCUMENT


def test_a_message_without_metadata_has_empty_metadata() -> None:
    message = msgspec.convert(DOCUMENT, Message)
    assert message.metadata is msgspec.UNSET
    assert message.meta == Metadata()
    with_priority = msgspec.convert({**DOCUMENT, "metadata": {"priority": "high"}}, Message)
    assert with_priority.meta.priority == "high"


def test_a_file_of_a_newer_broker_can_be_read() -> None:
    assert msgspec.convert({**DOCUMENT, "colour": "red"}, Message) == msgspec.convert(DOCUMENT, Message)


def test_metadata_is_closed() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"colour": "red"}, Metadata)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"priority": "urgent"}, Metadata)


def test_a_message_does_not_change() -> None:
    message = msgspec.convert(DOCUMENT, Message)
    with pytest.raises(AttributeError):
        message.status = "read"  # type: ignore[misc]


def test_each_priority_has_a_rank_and_none_is_medium() -> None:
    assert set(PRIORITY_RANK) == {*typing.get_args(Priority), None}
    assert PRIORITY_RANK["high"] < PRIORITY_RANK["medium"] == PRIORITY_RANK[None] < PRIORITY_RANK["low"]


@pytest.mark.parametrize("status", typing.get_args(SessionStatus))
def test_a_session_is_active_or_ended(status: SessionStatus) -> None:
    session = Session(id="a", role="worker", project_id="p", status=status, started_at=1, last_activity=2)
    assert session.active is (status in typing.get_args(ActiveStatus))
    assert session.active is not (status in typing.get_args(EndStatus))
    assert session.active is (status in ACTIVE)


def test_a_stored_session_holds_no_token() -> None:
    session = Session(id="a", role="worker", project_id="p", status="idle", started_at=1, last_activity=2)
    stored = msgspec.to_builtins(StoredSession(session=session, token_hash="00"))
    assert set(stored) == {"session", "tokenHash"}
    assert set(stored["session"]) == {"id", "role", "projectId", "status", "startedAt", "lastActivity"}


def test_the_header_says_the_version() -> None:
    assert maestro_schemas.PROTOCOL_HEADER == b"M%d" % maestro_schemas.PROTOCOL_VERSION


@pytest.mark.parametrize(
    ("audience", "metadata", "is_quiet"),
    [
        (None, {}, False),
        ({"to": ["bob"], "size": 1}, {}, False),
        ({"to": ["@reviews"], "size": 1}, {}, True),
        ({"to": ["bob", "cid"], "size": 2}, {}, True),
        ({"to": ["@workers"], "size": 7}, {"type": "notification", "priority": "low"}, True),
        *(
            ({"to": ["@workers"], "size": 7}, loud, False)
            for loud in (
                {"type": "request"},
                {"type": "command"},
                {"type": "response"},
                {"priority": "high"},
                {"requiresAck": True},
                {"requiresResponse": True},
            )
        ),
    ],
)
def test_a_message_to_several_that_asks_nothing_is_quiet(
    audience: object, metadata: dict[str, object], is_quiet: bool
) -> None:
    document = {**DOCUMENT, "metadata": metadata} | ({"audience": audience} if audience else {})
    assert msgspec.convert(document, Message).is_quiet is is_quiet


def test_the_groups_among_the_addresses() -> None:
    message = msgspec.convert(DOCUMENT, Message)
    assert message.groups == ()
    to = ["@reviews", "bob", "@all", "@project:shop", "@docs", "@reviews"]
    assert msgspec.convert({**DOCUMENT, "audience": {"to": to, "size": 3}}, Message).groups == ("reviews", "docs")
