"""Conditions: who finds what, compared with `may_see`; and what each operator and word finds."""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING

import pytest

from maestro_broker.index.conditions import is_word
from maestro_broker.index.orders import Scope
from maestro_schemas.events import Reader, may_see, message_parties

if TYPE_CHECKING:
    from support.indexed_mail import IndexedMail

PROJECTS = {"ann": "shop", "bob": "shop", "lead": "shop", "zoe": "other", "boss": "other", "operator": ""}


def scope_of(reader: Reader | None) -> Scope:
    if reader is None:
        return Scope()
    own = tuple(name for name, project in PROJECTS.items() if project == reader.project)
    return Scope(reader.session, own if reader.role == "orchestrator" else ())


def test_what_is_found_is_what_may_be_seen(mail: IndexedMail) -> None:
    """By every session in both roles and the operator, over messages of all kinds."""
    chance = random.Random(3)
    deliveries: dict[str, list[tuple[str, str, str]]] = {}
    names = [*PROJECTS, "gone"]  # a forgotten session has no project
    for number in range(60):
        sender, *receivers = chance.sample([*names, "maestro"], chance.randint(2, 4))
        receivers = [each for each in receivers if each != "maestro"] or ["ann"]
        text = f"text {number}"
        if number % 7 == 0:
            mail.fail(sender, receivers[0], text, "RECEIVER_ENDED")
            deliveries[text] = [(sender, receivers[0], "failed")]
            continue
        message_id = mail.send(sender, tuple(receivers), text, audience=tuple(receivers))
        kept = [(sender, each, "pending") for each in receivers]
        if number % 5 == 0:
            mail.delete(receivers[0], message_id)
            kept = kept[1:]
        deliveries[text] = kept
    readers: list[Reader | None] = [None]
    for name, role in itertools.product(PROJECTS, ("worker", "orchestrator")):
        if name != "operator":
            readers.append(Reader(name, role, PROJECTS[name]))
    for reader in readers:
        expected = [
            text
            for text, kept in deliveries.items()
            if any(may_see(reader, message_parties(*each), PROJECTS.get) for each in kept)
        ]
        assert mail.found("text", scope_of(reader), limit=100) == expected, reader
        assert mail.search("text", scope_of(reader), limit=1)["total"] == len(expected)


def test_the_scopes_that_are_asked_for(mail: IndexedMail) -> None:
    mail.send("ann", "bob", "within")
    mail.send("ann", "zoe", "across")
    mail.send("zoe", "boss", "other")
    shop = ("ann", "bob", "lead")
    assert mail.found("", Scope(owner="zoe")) == ["across", "other"]
    assert mail.found("", Scope("bob", (), "ann")) == ["within"]
    assert mail.found("", Scope(party_of=shop)) == ["within", "across"]
    assert mail.found("", Scope(party_of=())) == []
    assert mail.found("", Scope("lead", shop, party_of=("zoe",))) == []


def test_each_operator_and_its_opposite(mail: IndexedMail) -> None:
    """What an excluded operator finds is the rest."""
    first = mail.send("ann", "bob", "one", type="request", requires_ack=True, task_id="t1", files=("a.patch", "B.md"))
    mail.send("bob", "ann", "two", in_reply_to=first, thread_id=first, priority="high")
    three = mail.send("ann", ("bob", "zoe"), "three", audience=("@workers",), requires_response=True)
    mail.send("zoe", "ann", "four", audience=("@reviews", "ann"))
    mail.confirm("zoe", three, "delivered")
    mail.fail("ann", "gus", "five", "RECEIVER_ENDED")
    every = ["one", "two", "three", "four", "five"]
    cases = {
        "from:ann": ["one", "three", "five"],
        "to:bob": ["one", "three"],
        "to:@workers": ["three"],
        "with:zoe": ["three", "four"],
        "group:reviews": ["four"],
        "task:t1": ["one"],
        f"thread:{first}": ["one", "two"],
        "type:request": ["one"],
        "priority:high": ["two"],
        "priority:medium": ["one", "three", "four", "five"],
        "status:delivered": ["three"],
        "status:failed": ["five"],
        "is:unread": ["one", "two", "three", "four"],
        "is:unanswered": ["three"],
        "is:fanout": ["three", "four"],
        "has:attachment": ["one"],
        "has:ack": ["one"],
        "file:*.PATCH": ["one"],
        "file:b.md": ["one"],
        "file:patch": [],
        "after:1h": every,
        "before:1h": [],
        "before:4s": ["one", "two"],
        "one": ["one"],
        '"two"': ["two"],
        "t*": ["two", "three"],
    }
    for query, found in cases.items():
        assert mail.found(query) == found, query
        assert mail.found(f"-{query}") == [text for text in every if text not in found], f"-{query}"


def test_conditions_are_of_one_delivery(mail: IndexedMail) -> None:
    """Bob has it pending and zoe has it delivered."""
    sent = mail.send("ann", ("bob", "zoe"), "one", audience=("bob", "zoe"))
    mail.confirm("zoe", sent, "delivered")
    assert mail.found("to:zoe status:delivered") == ["one"]
    assert mail.found("to:bob status:delivered") == []
    # And of one that the caller may see.
    assert mail.found("status:delivered", Scope("bob")) == []
    assert mail.found("is:unread", Scope("bob")) == ["one"]
    assert mail.found("is:unread", Scope("ann")) == []


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("The red CART is full", "cart"),
        ("test_cart", "cart"),
        ("größer", "GRÖßER"),
        ("a-b", "a-b"),
        ("msg_17_ab", "msg_17_ab"),
        ("購物車 is full", "物車"),
        ("カート", "ート"),
        ("รถเข็น", "เข็น"),
        ("x -> y", '"->"'),
        ("100%", "100%"),
        ("50% off", "%"),
        ("✅ done", "✅"),
        ('say "hi"', 'say"hi'),
    ],
)
def test_words(mail: IndexedMail, text: str, query: str) -> None:
    mail.send("ann", "bob", text)
    mail.send("ann", "bob", "another")
    if query == 'say"hi' and not mail.order("search").report.full_text:
        pytest.skip("without FTS5 a word is a part of the text")
    assert mail.found(query) == [text]
    assert mail.found(f"-{query}") == ["another"]


@pytest.mark.parametrize(
    ("text", "is_one"),
    [("cart", True), ("größe", True), ("-", False), ("購", False), ("a購", False), ("한글", False)],
)
def test_what_full_text_can_find(text: str, is_one: bool) -> None:
    assert is_word(text) is is_one
