"""Ids: choosing or guessing the id of a message gives nothing, in memory, after a crash, and after a checkpoint."""

from __future__ import annotations

import hashlib
import json
import os
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from maestro_runtime import paths
from maestro_schemas.errors import MaestroError
from maestro_schemas.names import NO_MARK, mark_of
from support.post_office import eventually, own_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from maestro_schemas.documents import SendResultDoc
    from support.post_office import PostOffice

LATER = ["in memory", "after a crash", "after a checkpoint"]


@pytest.fixture
def office(open_office: PostOffice) -> PostOffice:
    """An office with an orchestrator and three workers, each of which has a token."""
    open_office.session("lead", role="orchestrator", token=token_of("lead"))
    for name in ("alice", "ci", "eve"):
        open_office.session(name, token=token_of(name))
    return open_office


def token_of(session: str) -> str:
    """The token of a session of these tests."""
    return f"tok_{session}_0123456789abcdef"


def send(office: PostOffice, sender: str, to: str, key: str, text: str, **metadata: Any) -> SendResultDoc:
    """Send a message under a key."""
    given: Any = metadata or None
    return office.client(sender, token_of(sender)).send(to, text, message_id=key, metadata=given)


def texts(office: PostOffice, session: str, message_id: str) -> list[str]:
    """The texts of a thread, as a session sees it."""
    return [each["message"] for each in office.client(session, token_of(session)).thread(message_id)["messages"]]


def code_of(call: Callable[[], object]) -> str:
    """The code of the error that a call must raise."""
    with pytest.raises(MaestroError) as caught:
        call()
    return caught.value.code


def pass_on(office: PostOffice, later: str) -> None:
    """What happens between two steps: nothing, a crash, or a stop that writes everything."""
    if later == "after a crash":
        office.kill()
        office.start()
    elif later == "after a checkpoint":
        office.stop()
        office.start()


@pytest.mark.parametrize("later", LATER)
def test_no_session_gets_into_a_thread_by_choosing_its_id(office: PostOffice, later: str) -> None:
    """Finding T3: eve read a private thread after she had sent its id to herself."""
    root = send(office, "alice", "lead", "plan-7", "May we deploy?")["id"]
    answer = send(office, "lead", "alice", "reply-1", "Not on a Friday.", inReplyTo=root)["id"]
    pass_on(office, later)
    eve = office.client("eve", token_of("eve"))
    for number, known in enumerate(("plan-7", root, answer)):
        assert code_of(partial(eve.thread, known)) == "MESSAGE_NOT_FOUND"
        answered = partial(send, office, "eve", "lead", f"re-{number}", "x", inReplyTo=known)
        assert code_of(answered) == "MESSAGE_NOT_FOUND"
        own = send(office, "eve", "eve", known, "hi")["id"]
        assert own == own_id("eve", known)
        assert texts(office, "eve", own) == texts(office, "eve", known) == ["hi"]
        assert answered()["threadId"] == own, "the id is her own key now"
        assert texts(office, "eve", known) == ["hi", "x"]
    for _ in range(2):
        assert texts(office, "alice", answer)[-1:] == ["Not on a Friday."]
        assert texts(office, "lead", answer)[-1:] == ["Not on a Friday."]
        office.client("lead", token_of("lead")).delete([root])
        pass_on(office, later)
    assert texts(office, "alice", answer) == ["Not on a Friday."], "the first message is deleted"
    assert texts(office, "eve", root) == ["hi", "x"]


@pytest.mark.parametrize("later", LATER)
def test_an_id_names_one_message_to_a_caller_without_a_session(office: PostOffice, later: str) -> None:
    """Finding T4: a DELETE without a session removed another sender's unread mail of the same id."""
    office.sessions("bob", "carl")
    first = send(office, "alice", "bob", "X", "of alice")["id"]
    second = send(office, "eve", "carl", "X", "of eve")["id"]
    pass_on(office, later)
    operator = office.client()
    for call in (operator.message, operator.thread):
        assert code_of(partial(call, "X")) == "MESSAGE_NOT_FOUND"
    assert operator.delete(["X"], as_receiver=True)[0]["status"] == 404
    assert operator.confirm(["X"], "read", as_receiver=True)[0]["status"] == 404
    assert operator.delete([second], as_receiver=True)[0]["status"] == 200
    assert (office.status_of(first), [each["message"] for each in operator.inbox(session="bob")["messages"]]) == (
        "pending",
        ["of alice"],
    )


@pytest.mark.parametrize("later", LATER)
def test_an_id_can_not_be_claimed_in_advance(office: PostOffice, later: str) -> None:
    """Finding T12: another took the id of an Idempotency-Key, and the send was refused for ever."""
    key = f"key_{hashlib.sha256(b'build-412').hexdigest()[:40]}"
    for claimed in (key, own_id("ci", key), own_id("ci", "plain")):
        assert send(office, "eve", "lead", claimed, "claimed")["id"].endswith(f"_{mark_of('eve')}")
    pass_on(office, later)
    for own in (key, "plain"):
        assert (send(office, "ci", "lead", own, "the build")["status"]) == 201
        assert (send(office, "ci", "lead", own, "the build")["status"]) == 200
    assert len(office.client("lead", token_of("lead")).inbox()["messages"]) == 5


@pytest.mark.parametrize("later", LATER)
def test_a_receipt_is_of_the_callers_own_message(office: PostOffice, later: str) -> None:
    """Finding T21: a message that another had sent under the id shadowed the caller's own."""
    sent = send(office, "ci", "lead", "K", "of ci")["id"]
    for chosen in ("K", sent):
        send(office, "eve", "ci", chosen, "of eve")
    pass_on(office, later)
    ci = office.client("ci", token_of("ci"))
    for named in ("K", sent):
        assert ci.message(named)["message"] == "of ci"
    assert ci.send("lead", "of ci", message_id="K")["id"] == sent
    ci.confirm([own_id("eve", "K")], "read")
    assert (ci.message("K")["status"], ci.message(own_id("eve", "K"))["status"]) == ("pending", "read")


def test_no_session_blocks_a_message_of_another(office: PostOffice) -> None:
    """Neither its acceptance, nor its confirmation, nor its deletion, whatever else has the same key."""
    lead = office.client("lead", token_of("lead"))
    for name in ("alice", "ci", "eve"):
        send(office, name, "lead", "K", f"of {name}")
    for name in ("eve", "alice", "ci"):
        assert lead.confirm([own_id(name, "K")], "delivered")[0]["status"] == 200
        assert lead.delete([own_id(name, "K")])[0]["status"] == 200
        assert lead.confirm([own_id(name, "K")], "read")[0]["status"] == 404
    assert lead.confirm(["K"], "read")[0]["status"] == 404


def test_a_key_that_names_mail_of_ones_own_is_answered_with_its_ids(office: PostOffice) -> None:
    """They are listed and none is chosen; another's mailbox is not looked into."""
    for name in ("alice", "eve"):
        send(office, name, "lead", "plan-7", f"of {name}")
    for later in ("in memory", "after a checkpoint"):
        pass_on(office, later)
        with pytest.raises(MaestroError) as caught:
            office.client("lead", token_of("lead")).message("plan-7")
        listed = [{"id": own_id(name, "plan-7"), "from": name} for name in ("alice", "eve")]
        assert sorted(caught.value.details["received"], key=lambda each: each["from"]) == listed  # type: ignore[index]
        [result] = office.client("lead", token_of("lead")).confirm(["plan-7"], "read")
        assert len(result["error"]["details"]["received"]) == 2
        with pytest.raises(MaestroError) as caught:
            office.client("ci", token_of("ci")).message("plan-7")
        assert caught.value.details is None


def test_keys_of_every_form_are_repeatable(office: PostOffice) -> None:
    """Short and long ones, a whole id of one's own, and one that looks like a mark."""
    for key in ("a", "x" * 56, "x" * 57, "y" * 64, f"a_{NO_MARK}", f"msg_17_{'0' * 9}", mark_of("ci")):
        first = send(office, "ci", "lead", key, "hello")
        assert len(first["id"]) <= 64
        for again in (key, first["id"]):
            repeated = send(office, "ci", "lead", again, "hello")
            assert (repeated["status"], repeated["id"], repeated["seq"]) == (200, first["id"], first["seq"])


def test_a_session_whose_mark_is_taken_gets_another(office: PostOffice) -> None:
    """Two ids with one mark, found by search; the later session is started with a salt, and keeps it."""
    one, other = COLLIDING
    assert mark_of(one) == mark_of(other)
    for session in COLLIDING:
        office.session(session, token=token_of(session))
    first = send(office, one, "lead", "K", "of one")["id"]
    second = send(office, other, "lead", "K", "of the other")["id"]
    assert (first, second) == (f"K_{mark_of(one)}", f"K_{mark_of(other, 1)}")
    for _ in range(2):
        pass_on(office, "after a crash")
        assert send(office, other, "lead", "K", "of the other")["id"] == second
        assert office.client().message(second)["from"] == other
    pass_on(office, "after a checkpoint")
    link = os.path.join(paths.sender_dir(office.data, other), f"{second}.json")
    with open(link, encoding="utf-8") as file:
        assert json.load(file)["message"] == "of the other"
    send(office, "lead", other, "R", "an answer", inReplyTo=second)
    assert texts(office, other, "K") == ["of the other", "an answer"]
    eventually(lambda: office.client().stats()["filingBacklog"] == 0, "all is filed")
    assert os.path.realpath(os.path.join(office.data, "messages", "to", mark_of(other, 1))) == (
        os.path.realpath(paths.receiver_dir(office.data, other))
    )


# Found by a birthday search over names of this form: marks have 36 bits.
COLLIDING = ("s362547", "s405241")
