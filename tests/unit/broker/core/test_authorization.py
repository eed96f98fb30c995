"""Authorisation: the operator's built-in session; through the core, without a broker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from maestro_broker.core import key_authorization
from maestro_schemas.errors import MaestroError
from maestro_schemas.keys import Key
from maestro_schemas.limits import Limits
from maestro_schemas.messages import Message, Metadata
from maestro_schemas.names import OPERATOR
from maestro_schemas.requests import (
    Confirm,
    Delete,
    GetMessage,
    GetThread,
    Identity,
    Inbox,
    Outgoing,
    Request,
    Send,
    SessionEnd,
    SessionGet,
    SessionList,
    SessionRename,
    SessionStart,
    SessionTouch,
)
from support.offices import Office, keys, refused

if TYPE_CHECKING:
    from maestro_schemas.replies import SendResult

PERSON = Identity(operator=True)


@pytest.fixture
def office() -> Office:
    """A worker of one project, and two of another."""
    office = Office(Limits(rate_limit=0))
    office.start("ann", project_id="a")
    office.start("bob", project_id="b")
    office.start("cid", project_id="b")
    return office


def send(office: Office, to: str | list[str], key: str, **fields: object) -> SendResult:
    result: SendResult = office.do(
        Send(messages=[Outgoing(id=key, to=to, text="hello", **fields)], who=PERSON)  # type: ignore[arg-type]
    ).results[0]
    office.ids[key] = result.id
    return result


def shown(office: Office, message_id: str, who: Identity = PERSON) -> Message:
    message: Message = office.do(GetMessage(id=message_id, who=who)).message
    return message


def test_a_message_is_the_operators_only_if_it_says_so(office: Office) -> None:
    silent = Send(messages=[Outgoing(id="m1", to="bob", text="hello")])
    error = refused(office, silent)
    assert error.code == "NO_SESSION"
    assert "--as operator" in error.hint
    assert send(office, "bob", "m1").status == 201
    [message] = office.inbox("bob")
    assert (message.sender, message.receiver) == (OPERATOR, "bob")


@pytest.mark.parametrize("who", [Identity(OPERATOR), Identity("bob", operator=True)])
def test_no_session_speaks_as_the_operator(office: Office, who: Identity) -> None:
    for request in (Send(messages=[Outgoing(id="m1", to="bob", text="hello")], who=who), Inbox(who=who)):
        error = refused(office, request)
        assert (error.code, "--as operator" in error.hint) == ("INVALID", True)


def test_every_worker_may_write_to_the_operator_and_get_an_answer(office: Office) -> None:
    office.accept("bob", OPERATOR, "question")
    for mine in (Inbox(who=PERSON), Inbox(session=OPERATOR)):
        assert keys(office.do(mine).messages) == ["question"]
    office.now_ms += 1
    answer = send(office, "bob", "answer", metadata=Metadata(in_reply_to=office.ids["question"]))
    assert answer.thread_id == office.ids["question"]
    thread = office.do(GetThread(id=answer.id, who=Identity("bob")))
    assert keys(thread.messages) == ["question", "answer"]


def test_the_operator_confirms_and_deletes_its_own(office: Office) -> None:
    office.accept("bob", ["operator", "cid"], "m1")
    office.accept("bob", ["operator", "cid"], "m2")
    whole = office.ids["m1"]
    [read] = office.do(Confirm(ids=[whole], kind="read", who=PERSON)).results
    assert read.state == "read"
    [deleted] = office.do(Delete(ids=[office.ids["m2"]])).results
    assert deleted.state == "deleted"
    others = office.do(Inbox(session="cid", status=["pending"])).messages
    assert [message.status for message in others] == ["pending", "pending"]
    # A documented REST call without a session speaks for one receiver, which the id does not name here.
    [unnamed] = office.do(Confirm(ids=[whole], kind="read", as_receiver=True)).results
    assert unnamed.status == 409


def test_only_the_receiver_says_what_it_did(office: Office) -> None:
    """The operator confirms mail of its own mailbox alone. Who names no one is a documented program, as before."""
    office.accept("bob", "cid", "theirs")
    whole = office.ids["theirs"]
    for as_receiver in (False, True):
        [unknown] = office.do(Confirm(ids=[whole], kind="read", as_receiver=as_receiver, who=PERSON)).results
        assert isinstance(unknown.error, dict)
        assert unknown.error["code"] == "MESSAGE_NOT_FOUND"
    error = refused(office, Confirm(ids=[whole], kind="delivered", session="cid", who=PERSON))
    assert (error.code, "message show" in error.hint, "GET " in error.http_hint) == ("FORBIDDEN", True, True)
    assert shown(office, whole).status == "pending"
    [named] = office.do(Confirm(ids=[whole], kind="delivered", session="cid")).results
    assert named.state == "delivered"
    [deleted] = office.do(Delete(ids=[whole], session="cid", who=PERSON)).results
    assert deleted.state == "deleted"


def test_the_operator_reads_what_tokens_protect_from_a_documented_program(office: Office) -> None:
    office.start("eve", project_id="b", token="secret")
    office.accept("bob", "eve", "hers")
    whole = office.ids["hers"]
    for request in (GetMessage(id=whole, as_receiver=True), GetThread(id=whole, as_receiver=True)):
        assert refused(office, request).code == "TOKEN_REQUIRED"
        assert office.do(replace(request, who=PERSON))


def test_the_operator_that_gave_no_sign_yet_was_never_seen(office: Office) -> None:
    assert office.accept("bob", OPERATOR, "first").seen_at is None
    office.do(Inbox(who=PERSON))
    send(office, "bob", "m1")
    assert office.accept("bob", OPERATOR, "second").seen_at == office.now_ms


def test_of_several_deliveries_the_operator_means_its_own(office: Office) -> None:
    office.accept("bob", ["cid", "operator"], "to-me")
    assert shown(office, office.ids["to-me"]).receiver == OPERATOR
    office.start("dee", project_id="b")
    office.accept("bob", ["cid", "dee"], "to-others")
    assert refused(office, GetMessage(id=office.ids["to-others"])).code == "AMBIGUOUS_ID"
    # Each delivery is in the same thread.
    assert [message.receiver for message in office.do(GetThread(id=office.ids["to-others"])).messages] == ["cid"]
    mine = send(office, ["ann", "bob"], "mine").id
    assert shown(office, mine).receiver == "ann"
    assert office.do(GetMessage(id=mine, session="bob")).message.receiver == "bob"


def test_the_operator_may_answer_what_it_sees(office: Office) -> None:
    office.accept("bob", "cid", "theirs")
    joined = send(office, "bob", "m1", metadata=Metadata(in_reply_to=office.ids["theirs"]))
    assert joined.thread_id == office.ids["theirs"]
    later = send(office, "cid", "m2", metadata=Metadata(in_reply_to=joined.id))
    assert later.thread_id == office.ids["theirs"]
    office.delete("cid", office.ids["theirs"])
    again = send(office, "cid", "m3", metadata=Metadata(in_reply_to=office.ids["theirs"]))
    assert again.thread_id == office.ids["theirs"]
    nothing = send(office, "cid", "m4", metadata=Metadata(in_reply_to="nosuch"))
    assert isinstance(nothing.error, dict)
    assert nothing.error["code"] == "MESSAGE_NOT_FOUND"


def test_the_session_of_the_operator_is_built_in(office: Office) -> None:
    session = office.do(SessionGet(who=PERSON)).session
    assert (session.id, session.role, session.project_id) == (OPERATOR, "orchestrator", "")
    assert office.do(SessionGet(id=OPERATOR, who=Identity("bob"))).session.id == OPERATOR
    assert [each.id for each in office.do(SessionList()).sessions] == ["ann", "bob", "cid"]
    assert [found.session.id for found in office.state.sessions] == ["ann", "bob", "cid"]
    for change in (SessionEnd(id=OPERATOR), SessionRename(id=OPERATOR, name="boss"), SessionTouch(id=OPERATOR)):
        assert refused(office, change).code == "FORBIDDEN"
    assert refused(office, SessionStart(id=OPERATOR)).code == "INVALID_ID"
    assert refused(office, SessionStart(id="eva", parent_session_id=OPERATOR)).code == "FORBIDDEN"
    assert office.do(Inbox(session="bob", people=True)).people == {}
    send(office, "bob", "m1")
    people = office.do(Inbox(session="bob", people=True)).people
    assert people[OPERATOR].role == OPERATOR


def test_only_an_operators_key_is_the_operator(office: Office) -> None:
    limited = Key(name="laptop", public="", created_at=1, any_session=True)
    whole = limited._replace(operator=True)
    requests: list[Request] = [Inbox(who=PERSON), Send(messages=[], who=PERSON)]
    for request in requests:
        with pytest.raises(MaestroError) as caught:
            key_authorization.check(office.state, limited, request)
        assert caught.value.code == "FORBIDDEN"
        assert key_authorization.check(office.state, whole, request) is request
    topic = f"{OPERATOR}|message.accepted"
    assert not key_authorization.may_hear(office.state, limited, topic)
    assert key_authorization.may_hear(office.state, whole, topic)
