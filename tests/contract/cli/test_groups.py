"""`maestro group`, as a person and as sessions use it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support.cli_shell import Shell


@pytest.fixture
def ann(person: Shell) -> Shell:
    """A worker of project shop, beside bob and cyd; lead leads them."""
    for name in ("bob", "cyd"):
        person.session(name)
    person.session("lead", role="orchestrator")
    return person.session("ann")


def test_a_group_from_its_making_to_its_end(ann: Shell, person: Shell) -> None:
    made = ann.done("group", "create", "reviews", "bob")
    assert made.out.splitlines() == [
        "Made @reviews in project shop: 1 member.",
        "To write to it: maestro send --to @reviews --message TEXT",
    ]
    assert ann.done("group", "create", "reviews", "bob").out.startswith("Nothing changed: you have made @reviews")
    assert ann.done("group", "join", "@reviews").out == "Joined @reviews: it has 2 members.\n"
    assert ann.done("group", "join", "reviews").out.startswith("Nothing changed: ")
    assert ann.done("group", "add", "reviews", "cyd", "bob").out == "Added cyd to @reviews: it has 3 members.\n"
    assert ann.done("group", "add", "reviews", "cyd").out.startswith("Nothing changed: ")
    assert ann.done("group", "remove", "reviews", "bob").out == "Took one member out of @reviews: it has 2 members.\n"
    assert ann.done("group", "remove", "reviews", "bob").out.startswith("Nothing changed: ")
    shown = ann.done("group", "show", "reviews").out
    assert "project shop  2 members" in shown.splitlines()[0]
    assert re.search(r"  made    \S+ (just now|\d+s ago), by ann\n", shown), shown
    assert ann.done("group", "leave", "reviews").out == "Left @reviews: it has 1 member.\n"
    assert ann.done("group", "leave", "reviews").out.startswith("Nothing changed: ")
    listed = person.done("group", "list", "--members").out.splitlines()
    assert [line.split()[0] for line in listed] == ["NAME", "@reviews", "cyd"]
    assert ann.done("group", "delete", "reviews").out.startswith("Deleted @reviews; the mail ")
    gone = ann.run("group", "delete", "reviews")
    assert (gone.code, "there is no group 'reviews'" in gone.err) == (3, True)
    assert person.done("group", "list").out.startswith("No groups. ")


def test_an_empty_group_says_how_to_fill_it(ann: Shell) -> None:
    out = ann.done("group", "create", "later").out
    assert out.splitlines()[:2] == [
        "Made @later in project shop: no member.",
        "To fill it: maestro group add later MEMBER, or, as a member: group join.",
    ]


def test_every_answer_as_json(ann: Shell) -> None:
    made = ann.done("group", "create", "reviews", "bob", "--json").json()
    assert (made["created"], len(made["added"]), made["removed"]) == (True, 1, [])
    assert (made["group"]["name"], made["group"]["projectId"], made["group"]["size"]) == ("reviews", "shop", 1)
    again = ann.done("group", "create", "reviews", "bob", "--json").json()
    assert again == {**made, "created": False, "added": []}
    joined = ann.done("group", "join", "reviews", "--json").json()
    assert joined["added"] == [ann.session_id]
    assert [member["name"] for member in joined["group"]["members"]] == ["bob", "ann"]
    assert ann.done("group", "add", "reviews", "cyd", "--json").json()["group"]["size"] == 3
    assert len(ann.done("group", "remove", "reviews", "bob", "--json").json()["removed"]) == 1
    assert ann.done("group", "leave", "reviews", "--json").json()["removed"] == [ann.session_id]
    shown = ann.done("group", "show", "reviews", "--json").json()
    assert [member["name"] for member in shown["members"]] == ["cyd"]
    assert ann.done("group", "delete", "reviews", "--json").json() == {"name": "reviews", "size": 1}
    refused = ann.run("group", "show", "reviews", "--json")
    assert (refused.code, refused.error()["code"]) == (3, "GROUP_NOT_FOUND")
    assert ann.done("group", "list", "--json").out == "[]\n"


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (("create", "all"), 2, "a group can't be called 'all'"),
        (("create", "Reviews"), 2, "a group can't be called 'Reviews'"),
        (("create", "reviews", "stranger"), 3, "there is no session 'stranger'"),
        (("add", "docs"), 2, "MEMBER is missing"),
        (("remove", "docs"), 2, "MEMBER is missing"),
        (("add", "dogs", "bob"), 3, "there is no group 'dogs'"),
        (("create", "docs"), 4, "there is a group @docs already"),
        (("create", "mine", "--project", "other"), 4, "may not make a group in project other"),
        (("delete", "docs"), 4, "may not delete @docs"),
        (("join",), 2, "NAME is missing"),
    ],
)
def test_what_is_refused(ann: Shell, person: Shell, words: tuple[str, ...], code: int, error: str) -> None:
    """With the exit code of its kind, and the next step."""
    person.done("group", "create", "docs", "bob")
    ran = ann.run("group", *words)
    assert (ran.code, error in ran.err) == (code, True), ran
    assert "next: " in ran.err


def test_a_shell_without_a_session_joins_nothing(ann: Shell, person: Shell) -> None:
    """The person makes and changes groups, and is in none."""
    person.done("group", "create", "docs", "bob")
    for word in ("join", "leave"):
        ran = person.run("group", word, "docs")
        assert (ran.code, "belongs to no session" in ran.err) == (4, True)
    assert person.done("group", "add", "docs", "ann", "--json").json()["group"]["creator"] == "operator"
    assert person.run("group", "add", "docs", "operator").code == 2


def test_an_ended_member_is_shown_as_one(ann: Shell, person: Shell) -> None:
    person.done("group", "create", "docs", "bob", "cyd")
    person.done("session", "end", "bob")
    assert "2 members, 1 of them ended" in person.done("group", "show", "docs").out
    out = person.done("group", "show", "docs").out
    [line] = [line for line in out.splitlines() if " bob " in line]
    assert line.endswith("ended: it gets nothing until it is started again")


def test_the_timeline_shows_who_joined_and_left(ann: Shell, person: Shell) -> None:
    ann.done("group", "create", "reviews", "bob")
    ann.done("group", "remove", "reviews", "bob")
    lines = person.done("timeline", "--event", "group").out.splitlines()
    assert ["@reviews +" in lines[0], "@reviews -" in lines[1]] == [True, True]
    assert all(f"by={ann.session_id}" in line for line in lines)


def test_what_is_sent_to_a_group_reaches_the_others(ann: Shell, person: Shell) -> None:
    ann.done("group", "create", "reviews", "bob", "cyd")
    ann.done("group", "join", "reviews")
    with ann.client() as client:
        reply = client.call("send", {"messages": [{"id": "m1", "to": "@reviews", "message": "ready"}]})
    assert reply["results"][0]["accepted"] == 2
