"""`maestro search`, `threads`, `stats` and `index`: with a real broker and its index."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from maestro_cli import exit_codes
from maestro_schemas.names import short_id

if TYPE_CHECKING:
    from support.cli_shell import Ran, Shell


@pytest.fixture
def team(shell: Shell) -> dict[str, Shell]:
    """An orchestrator and two workers of one project, and a worker of another one."""
    workers = {name: shell.session(name) for name in ("ann", "ben")}
    return {
        **workers,
        "lead": shell.session("lead", role="orchestrator"),
        "eve": shell.session("eve", project="other"),
        "person": shell.anonymous(),
    }


def texts(ran: Ran) -> list[str]:
    return [hit["message"]["message"] for hit in ran.json()["hits"]]


def test_each_role_finds_what_it_may_and_marks_nothing(team: dict[str, Shell]) -> None:
    first = team["ann"].send(team["lead"], "the cart is red")
    team["lead"].send_to_all([team["ann"], team["ben"]], "leave the cart")
    team["eve"].send(team["lead"], "a cart elsewhere")

    def found(who: str, *words: str) -> list[str]:
        return texts(team[who].done("search", *words, "--json"))

    assert found("ann", "cart") == ["leave the cart", "the cart is red"]
    assert found("ben", "cart") == ["leave the cart"]
    assert found("eve", "cart") == ["a cart elsewhere"]
    assert found("person", "cart") == ["a cart elsewhere", "leave the cart", "the cart is red"]
    assert found("person", "from:eve", "cart") == ["a cart elsewhere"]
    assert found("person", "cart", "--project", "other") == ["a cart elsewhere"]
    assert found("person", "cart", "--session", "ben") == ["leave the cart"]
    # No lag: what was sent just now is found.
    team["ann"].send(team["ben"], "the newest cart")
    assert found("ann", "newest") == ["the newest cart"]
    assert team["ann"].state(first) == "pending"


def test_the_lines_and_the_next_page(team: dict[str, Shell]) -> None:
    ids = [team["ann"].send(team["lead"], f"cart {number}") for number in range(3)]
    ran = team["person"].done("search", "cart", "--limit", "2")
    lines = ran.out.splitlines()
    assert [line.partition("  ")[2] for line in lines[::3]] == ["ann → lead", "ann → lead"]
    assert [line.split()[0] for line in lines[1::3]] == [short_id(ids[2]), short_id(ids[1])]
    assert lines[2::3] == ["  | cart 2", "  | cart 1"]
    assert "\x1b" not in ran.out
    assert re.search(r"maestro: 2 of 3 messages, [\d,]+ ms\n", ran.err)
    before = re.search(r"--before (\d+)", ran.err)
    assert before is not None
    rest = team["person"].done("search", "cart", "--before", before[1])
    assert "  | cart 0" in rest.out
    assert "--before" not in rest.err
    # A limit of more than the broker's pages, and of more than there is.
    assert len(team["person"].done("search", "cart", "--limit", "999999", "--json").json()["hits"]) == 3
    none = team["person"].done("search", "nothing-of-that")
    assert none.out == "Nothing was found.\n"


def test_found_words_are_bold_on_a_terminal(team: dict[str, Shell]) -> None:
    team["ann"].send(team["lead"], "the cart is red")
    shell = team["person"]
    shell.done("search", "cart")
    master, slave = pty.openpty()
    environ = {**shell.environ, "TERM": "xterm", "COLUMNS": "80"}
    environ.pop("NO_COLOR", None)
    with subprocess.Popen(
        shell.start_command("search", "red"), env=environ, cwd=shell.root, stdin=slave, stdout=slave, stderr=slave
    ) as process:
        os.close(slave)
        shown = b""
        try:
            while part := os.read(master, 65_536):
                shown += part
        except OSError:
            pass  # the other end is closed
        assert process.wait(30) == 0
    os.close(master)
    assert b"the cart is \x1b[1;33mred\x1b[0m" in shown


@pytest.mark.parametrize(
    ("query", "said", "step"),
    [
        ((), "the query is empty", "maestro log"),
        (("",), "the query is empty", "maestro log"),
        (("  ",), "the query is empty", "maestro log"),
        (("form:ann",), "`form:` is no operator. Did you mean `from:`?", "in quotes"),
        (("stauts:pending",), "Did you mean `status:`?", "Operators: from"),
        (("cart OR bike",), "`OR` is not part of the syntax", "two searches"),
        (("is:new",), "`is:new` finds nothing", "is:un"),
        (("from:",), "`from:` has no value", "without a blank"),
        (("after:soon",), "`after:soon` is no time", "3d"),
        (("x" * 1_001,), "has 1,001 characters, and the limit is 1,000", "fewer words"),
        (("cart", "--limit", "0"), "--limit must be 1 to 1,000,000, not 0", "maestro search --help"),
        (("cart", "--limit", "many"), "--limit can't be 'many'", "--help"),
        (("cart", "-x"), "-x", "--help"),
        (("-cart red",), "unknown option: -cart red\n", "maestro search -- '-cart red'"),
        ((b"caf\xe9",), "QUERY is not UTF-8", ""),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_queries_that_are_refused(shell: Shell, query: tuple[str | bytes, ...], said: str, step: str) -> None:
    ran = shell.run("search", *query)
    assert ran.code == exit_codes.USAGE, ran
    assert said in ran.err
    assert step in ran.err
    assert ran.out == ""


def test_unfinished_quotes_and_words_of_sqlite_are_text(team: dict[str, Shell]) -> None:
    team["ann"].send(team["lead"], 'say "main is red" (AND) not* NEAR/2 ^x')
    for query in ('"main is', 'a"b', "(", "*", "NEAR/2", '"(AND)"', "^x", "' or 1=1", "{x}", "\\"):
        assert team["person"].run("search", query, "--json").code == 0, query
    assert len(texts(team["person"].done("search", '"main is', "--json"))) == 1


def test_names_that_are_not_there(team: dict[str, Shell]) -> None:
    team["ann"].send(team["lead"], "x")
    for line in ("search from:absent", "search x --session absent", "threads --session absent"):
        words = line.split()
        ran = team["person"].run(*words)
        assert ran.code == exit_codes.NOT_FOUND, (words, ran)
    # Another session's mail is not for a worker.
    assert team["ann"].run("search", "x", "--session", "lead").code == exit_codes.REFUSED
    assert team["ann"].run("stats", "--session", "lead").code == exit_codes.REFUSED


def test_an_agents_shell_without_a_session_is_refused(shell: Shell) -> None:
    agent = shell.anonymous().like(CLAUDECODE="1")
    for words in (("search", "x"), ("threads",), ("stats",), ("export",)):
        ran = agent.run(*words)
        assert ran.code == exit_codes.REFUSED
        assert "CLAUDECODE is set" in ran.err
        assert agent.run(*words, "--yes").code == exit_codes.DONE


def test_threads(team: dict[str, Shell]) -> None:
    assert team["person"].done("threads").out == "No message has an answer yet.\n"
    asked = team["ann"].send(team["lead"], "main is\nred", metadata={"type": "request"})
    team["lead"].send(team["ann"], "fixed", metadata={"inReplyTo": asked})
    team["ann"].send(team["lead"], "alone")
    lines = team["person"].done("threads").out.splitlines()
    assert lines[0].endswith("  2 messages  ann, lead")
    assert lines[1:] == [f"  {short_id(asked)}", "  | ann: main is red", "  | lead: fixed"]
    [thread] = team["ann"].done("threads", "--json").json()["threads"]
    assert thread["threadId"] == asked
    assert team["eve"].done("threads").out == "No message has an answer yet.\n"
    assert team["person"].run("threads", "--limit", "0").code == exit_codes.USAGE


def test_stats_have_the_figures(team: dict[str, Shell]) -> None:
    assert "No mail in this time." in team["person"].done("stats").out
    asked = team["ann"].send(team["lead"], "may I?", metadata={"type": "request"})
    team["lead"].done("inbox")
    team["lead"].send(team["ann"], "yes", metadata={"inReplyTo": asked})
    team["lead"].send_to_all([team["ann"], team["ben"]], "note")
    shown = team["person"].done("stats").out
    assert "Message volume: 3 sent, 4 deliveries; 1 went to several" in shown
    assert "Delivery success rate: 100 % of those that are not pending" in shown
    assert "(1 of 1 requests were answered)" in shown
    assert "ann ⇄ lead" in shown
    assert "Most active routes" in shown
    figures = team["person"].done("stats", "--json").json()
    assert figures["volume"] == {"sent": 3, "deliveries": 4, "fanOuts": 1}
    # A session's own figures are not those of all.
    assert team["ben"].done("stats", "--json").json()["volume"]["sent"] == 1
    for by in ("route", "session", "hour", "day", "code", "pair"):
        assert team["person"].done("stats", "--by", by).out
    assert "No mail" in team["person"].done("stats", "--since", "2020-01-01", "--until", "2020-01-02").out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--since", "2999-01-01"), "--since 2999-01-01 is in the future"),
        (("--since", "1h", "--until", "2h"), "--since 1h is not before --until 2h"),
        (("--since", "soon"), "--since: 'soon' is not a time"),
        (("--until", ""), "--until: '' is not a time"),
        (("--by", "week"), "--by can't be 'week': it is one of route"),
    ],
)
def test_times_that_are_none(shell: Shell, arguments: tuple[str, ...], said: str) -> None:
    ran = shell.run("stats", *arguments)
    assert ran.code == exit_codes.USAGE
    assert said in ran.err


def test_the_index_and_its_rebuilding(team: dict[str, Shell]) -> None:
    person = team["person"]
    assert "There is no index yet" in person.done("index", "status").out
    team["ann"].send(team["lead"], "cart")
    assert texts(person.done("search", "cart", "--json")) == ["cart"]
    assert "The index has" in person.done("index", "status").out
    state = person.done("index", "status", "--json").json()
    assert state["running"]
    assert state["bytes"] > 0
    ran = person.done("index", "rebuild")
    assert re.fullmatch(r"The index was made again in [\w. ]+, up to record [\d,]+\.\n", ran.out)
    assert person.done("index", "rebuild", "--json").json()["tookMs"] >= 0
    assert texts(person.done("search", "cart", "--json")) == ["cart"]
    # It is for the operator, and for a broker that runs.
    assert team["ann"].run("index", "rebuild").code == exit_codes.REFUSED
    assert "search index: The index has" in person.run("doctor", "--all").out
    person.done("down")
    assert person.run("index", "status").code == exit_codes.UNREACHABLE
    assert "search index: no broker runs" in person.run("doctor", "--all").out


def test_a_deleted_or_damaged_index_is_made_again(team: dict[str, Shell]) -> None:
    person = team["person"]
    team["ann"].send(team["lead"], "cart")
    person.done("search", "cart")
    for damage in ("delete", "garbage"):
        person.done("down")
        folder = os.path.join(person.data, "index")
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            if damage == "delete":
                os.unlink(path)
            elif name.endswith(".sqlite3"):
                with open(path, "r+b") as file:
                    file.write(b"no database" * 100)
        assert texts(person.done("search", "cart", "--json")) == ["cart"], damage
    found = json.loads(person.done("search", "cart", "--json").out)
    assert found["index"]["upTo"] == found["index"]["head"]
