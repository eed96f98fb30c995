"""Search, threads, figures and exports over HTTP, with a real broker and its index."""

from __future__ import annotations

import json
import re
import urllib.parse
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from maestro_schemas.messages import Message
from maestro_schemas.texts import search_query

if TYPE_CHECKING:
    from support.gateways import Answer, Gateway
    from support.post_office import PostOffice

HOSTILE = "<script>alert(1)</script> **cart**"


@pytest.fixture(scope="module")
def said(office: PostOffice) -> dict[str, str]:
    """A request of ann to bob with its answer, and a message to both; the ids by name."""
    with office.client("ann") as ann, office.client("bob") as bob:
        asked = ann.send("bob", HOSTILE, metadata={"type": "request"})["id"]
        bob.send("ann", "fixed", metadata={"inReplyTo": asked})
        several = ann.send(["bob", "operator"], "the cart is done")["id"]
    return {"asked": asked, "several": several}


def ask(gateway: Gateway, path: str, caller: str | None = "operator", **query: Any) -> Answer:
    address = f"/api/{path}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
    return gateway.ask("GET", address, headers={"X-Session-ID": caller} if caller else {})


def texts(answer: Answer) -> list[str]:
    assert answer.status == 200, answer.body
    return [hit["message"]["message"] for hit in answer.json["hits"]]


def test_a_search(standing: Gateway, said: dict[str, str]) -> None:
    assert texts(ask(standing, "search", q="cart")) == ["the cart is done", HOSTILE]
    assert texts(ask(standing, "search", "bob", q="from:ann is:fanout")) == ["the cart is done"]
    assert texts(ask(standing, "search", "bob", q="", limit=1)) == ["the cart is done"]
    first = ask(standing, "search", q="cart", limit=1)
    link = re.search(r"<([^>]+)>; rel=\"next\"", first.headers["link"])
    assert link is not None
    following = standing.ask("GET", link[1], headers={"X-Session-ID": "operator"})
    assert texts(following) == [HOSTILE]
    assert "link" not in following.headers
    hit = first.json["hits"][0]
    begin, end = hit["marks"][0]
    assert hit["snippet"][begin:end] == "cart"


@pytest.mark.parametrize(
    ("path", "query", "status", "code"),
    [
        ("search", {"q": "form:ann"}, 400, "INVALID_QUERY"),
        ("search", {"q": "x" * 1_001}, 400, "INVALID_QUERY"),
        ("search", {"q": "x", "limit": "0"}, 400, "INVALID"),
        ("search", {"q": "x", "limit": "many"}, 400, "INVALID"),
        ("search", {"q": "x", "session": "absent"}, 404, "SESSION_NOT_FOUND"),
        ("search", {"q": "from:absent"}, 404, "SESSION_NOT_FOUND"),
        ("threads", {"before": "-1"}, 400, "INVALID"),
        ("threads", {"session": "absent"}, 404, "SESSION_NOT_FOUND"),
        ("stats", {"bucket": "week"}, 400, "INVALID"),
        ("stats", {"since": "2026-11-30"}, 400, "INVALID"),
        ("stats", {"since": 2, "until": 1}, 400, "INVALID"),
        ("export", {"format": "pdf"}, 400, "INVALID"),
        ("export", {"thread": "msg_1", "q": "x"}, 400, "INVALID"),
        ("export", {"thread": "msg_1", "session": "ann"}, 400, "INVALID"),
        ("export", {"with": "bob", "q": "x"}, 400, "INVALID"),
        ("export", {"limit": "10001"}, 400, "INVALID"),
        ("export", {"limit": "0"}, 400, "INVALID"),
        ("export", {"thread": "msg_absent"}, 404, "MESSAGE_NOT_FOUND"),
        ("export", {"with": "@absent"}, 404, "GROUP_NOT_FOUND"),
        ("export", {"q": "OR"}, 400, "INVALID_QUERY"),
        ("export", {"text": "maybe"}, 400, "INVALID"),
    ],
    ids=str,
)
def test_wrong_queries(standing: Gateway, path: str, query: dict[str, Any], status: int, code: str) -> None:
    answer = ask(standing, path, **query)
    assert (answer.status, answer.json["code"]) == (status, code)
    assert "maestro " not in answer.json.get("hint", "")
    if query.get("q") == "form:ann":
        assert answer.json["details"]["nearest"] == "from"


@pytest.mark.parametrize("path", ["search", "threads", "stats", "export"])
def test_a_caller_says_who_it_is_and_sees_its_own(standing: Gateway, said: dict[str, str], path: str) -> None:
    answer = ask(standing, path, None)
    assert (answer.status, answer.json["code"]) == (401, "NO_SESSION")
    other = ask(standing, path, "bob", session="ann")
    assert (other.status, other.json["code"]) == (403, "FORBIDDEN")


def test_the_operators_are_those_of_the_parser(standing: Gateway) -> None:
    found = ask(standing, "search/operators", None).json["operators"]
    assert [each["name"] for each in found] == [operator.name for operator in search_query.OPERATORS]
    assert found[0]["help"]


def test_threads_and_figures(standing: Gateway, said: dict[str, str]) -> None:
    [thread] = ask(standing, "threads").json["threads"]
    assert (thread["threadId"], thread["messages"], thread["senders"]) == (said["asked"], 2, ["ann", "bob"])
    figures = ask(standing, "stats", bucket="day", utcOffsetMinutes=60).json
    assert figures["volume"] == {"sent": 3, "deliveries": 4, "fanOuts": 1}
    assert figures["requestsAnswered"] == 1
    assert figures["bucketMs"] == 86_400_000
    assert {(pair["first"], pair["second"]) for pair in figures["pairs"]} == {("ann", "bob"), ("ann", "operator")}


def test_an_export_in_each_format(standing: Gateway, said: dict[str, str]) -> None:
    page = ask(standing, "export", thread=said["asked"])
    assert page.headers["content-type"].startswith("text/markdown")
    assert page.headers["content-disposition"] == f'attachment; filename="maestro-{said["asked"]}.md"'
    assert f"```text\n{HOSTILE}\n```" in page.body.decode()
    lines = [json.loads(line) for line in ask(standing, "export", "bob", format="jsonl").body.splitlines()]
    assert [msgspec.convert(line["message"], Message).sender for line in lines[1:-1]] == ["ann", "bob", "ann"]
    assert lines[0]["askedBy"] == "bob"
    assert lines[-1] == {"kind": "end", "messages": 3, "hasMore": False}
    html = ask(standing, "export", format="html", q="cart", limit=1)
    assert "<script" not in html.body.decode()
    # Shown by a browser all the same, it has no script and not this origin's rights.
    policy = html.headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none'; style-src 'sha256-")
    assert html.headers["x-content-type-options"] == "nosniff"
    head = standing.ask("HEAD", "/api/export?format=html", headers={"X-Session-ID": "operator"})
    assert (head.status, head.body) == (200, b"")
    without = ask(standing, "export", text="false").body.decode()
    assert "cart" not in without


def test_an_export_of_two_and_its_limit(standing: Gateway, said: dict[str, str]) -> None:
    two: dict[str, Any] = {"session": "ann", "with": "bob"}
    both = ask(standing, "export", **two, limit=1).body.decode()
    assert "# Messages between ann and bob" in both
    assert "The newest 1 message; there are more" in both
    assert "maestro-ann-bob.md" in ask(standing, "export", **two).headers["content-disposition"]
