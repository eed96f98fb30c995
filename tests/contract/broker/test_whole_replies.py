"""A reply has what its caller needs next: the message after a step, and the sessions that a page mentions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from maestro_schemas.errors import MaestroError
from support.post_office import own_id

if TYPE_CHECKING:
    from support.post_office import PostOffice

TOKEN = "tok_0123456789abcdef"
M1 = own_id("ann", "m1")


def test_a_send_returns_the_message_that_is_on_disk(open_office: PostOffice) -> None:
    ann = open_office.client("ann")
    sent = ann.send("bob", "hello", message_id=M1, metadata={"priority": "high"}, whole=True)
    assert sent["message"] == open_office.look(M1)
    assert "message" not in ann.send("bob", "hello again")


def test_a_repeat_returns_the_message_as_it_is_now(open_office: PostOffice) -> None:
    ann = open_office.client("ann")
    ann.send("bob", "hello", message_id=M1)
    open_office.client("bob").confirm([M1], "read")
    again = ann.send("bob", "hello", message_id=M1, whole=True)
    assert (again["status"], again["message"]["status"]) == (200, "read")
    open_office.client("bob").delete([M1])
    assert "message" not in ann.send("bob", "hello", message_id=M1, whole=True)


def test_a_confirmation_returns_the_message_afterwards(open_office: PostOffice) -> None:
    open_office.client("ann").send("bob", "hello", message_id=M1)
    [done] = open_office.client("bob").confirm([M1], "read", whole=True)
    assert done["message"] == open_office.look(M1)
    assert done["message"]["status"] == "read"
    [plain] = open_office.client("bob").confirm([M1], "read")
    assert "message" not in plain


def test_a_page_names_the_people_in_it(open_office: PostOffice) -> None:
    client = open_office.client()
    client.start_session("lead", name="the lead", role="orchestrator")
    sent = own_id("lead", "m1")
    open_office.client("lead").send("bob", "hello", message_id=sent)
    bob = open_office.client("bob")
    page = bob.inbox(people=True)
    assert page["people"] == {"lead": {"role": "orchestrator", "name": "the lead"}, "bob": {"role": "worker"}}
    assert page["printCharsMax"] == client.hello()["limits"]["print_chars_max"]
    assert {"people", "printCharsMax"}.isdisjoint(bob.inbox())
    assert bob.message_with_people(sent)["people"] == page["people"]
    assert bob.thread(sent, people=True)["people"] == page["people"]
    assert "people" not in bob.thread(sent)


def test_a_redirected_message_names_both_receivers(open_office: PostOffice) -> None:
    operator = open_office.client()
    operator.start_session("lead", role="orchestrator")
    operator.start_session("gone", name="gone", parent_session_id="lead")
    operator.end_session("gone")
    open_office.client("ann").send("gone", "hello", on_ended="redirect")
    assert set(open_office.client("lead").inbox(people=True)["people"]) == {"ann", "lead", "gone"}


@pytest.mark.parametrize("call", ["message", "thread", "confirm", "delete"])
def test_a_caller_that_acts_for_a_receiver_needs_its_token(open_office: PostOffice, call: str) -> None:
    open_office.session("carol", token=TOKEN)
    open_office.client("ann").send("carol", "hello", message_id=M1)

    def ask(token: str | None) -> object:
        client = open_office.client(None, token)
        match call:
            case "message":
                return client.message(M1, as_receiver=True)
            case "thread":
                return client.thread(M1, as_receiver=True)
            case "confirm":
                [result] = client.confirm([M1], "read", as_receiver=True)
            case _:
                [result] = client.delete([M1], as_receiver=True)
        if "error" in result:
            raise MaestroError.from_body(result["error"])
        return result

    for token, code in ((None, "TOKEN_REQUIRED"), ("tok_of_another", "TOKEN_MISMATCH")):
        with pytest.raises(MaestroError) as caught:
            ask(token)
        assert caught.value.code == code
    assert open_office.status_of(M1) == "pending"
    ask(TOKEN)


def test_a_receiver_without_a_token_needs_none(open_office: PostOffice) -> None:
    open_office.client("ann").send("bob", "hello", message_id=M1)
    [done] = open_office.client().confirm([M1], "read", as_receiver=True, whole=True)
    assert done["message"]["status"] == "read"
    with pytest.raises(MaestroError, match="m2"):
        open_office.client().message("m2", as_receiver=True)
