"""Lists that grow come in pages: each page leads to the next one, and together they are the whole list, once."""

from __future__ import annotations

import re
import urllib.parse
from typing import TYPE_CHECKING, Any

import pytest

from support.post_office import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.gateways import Gateway
    from support.post_office import PostOffice

NAME = "Chef 日本 <a>"


def pages(gateway: Gateway, path: str, **headers: str) -> Iterator[Any]:
    """The bodies of the page at `path` and of all after it, as their `Link` says."""
    while path:
        answer = gateway.ask("GET", path, headers=headers)
        assert answer.status == 200, answer.body
        yield answer.json
        link = answer.headers.get("link")
        match = re.fullmatch(r'<(/[^>]*)>; rel="next"', link) if link is not None else None
        assert (link is None) == (match is None), link
        path = match[1] if match is not None else ""


@pytest.fixture
def family(open_office: PostOffice) -> list[str]:
    """Seven sessions of one parent; three have ended."""
    with open_office.client() as client:
        client.start_session("chef", name=NAME)
        ids = [client.start_session(f"kid{number}", parent_session_id="chef")["id"] for number in range(7)]
        for kid in ids[:3]:
            client.end_session(kid)
    return ids


def test_sessions(family: list[str], gateway: Gateway) -> None:
    whole = [session["id"] for session in gateway.ask("GET", "/api/sessions").json]
    found = list(pages(gateway, "/api/sessions?limit=3"))
    assert [session["id"] for page in found for session in page] == whole
    assert set(family) < set(whole)
    assert max(len(page) for page in found) == 3


def test_a_page_keeps_its_filters(family: list[str], gateway: Gateway) -> None:
    found = pages(gateway, "/api/sessions?limit=2&parentSessionId=chef&active=true")
    assert [session["id"] for page in found for session in page] == family[3:]


def test_a_session_that_starts_between_two_pages(
    open_office: PostOffice, family: list[str], gateway: Gateway
) -> None:
    """Nothing is shown twice, and nothing that was there is left out."""
    found = pages(gateway, "/api/sessions?limit=3")
    seen = [session["id"] for session in next(found)]
    open_office.session("late")
    seen += [session["id"] for page in found for session in page]
    assert len(seen) == len(set(seen))
    assert {*family, "late"} <= set(seen)


def test_siblings(family: list[str], gateway: Gateway) -> None:
    found = pages(gateway, f"/api/sessions/{family[5]}/siblings?limit=2")
    assert [session["id"] for page in found for session in page] == [kid for kid in family if kid != family[5]]


def test_a_link_of_a_path_with_any_letters(open_office: PostOffice, family: list[str], gateway: Gateway) -> None:
    """A header has only ASCII: the path is written as in a request."""
    open_office.client().start_session("sous", name="日本 <b>", parent_session_id="chef")
    path = f"/api/sessions/{urllib.parse.quote('日本 <b>')}/siblings?limit=3"
    assert [session["id"] for page in pages(gateway, path) for session in page] == family


def test_a_mailbox(open_office: PostOffice, gateway: Gateway) -> None:
    with open_office.client("ann") as client:
        ids = [client.send("bob", f"{number}")["id"] for number in range(7)]
    found = list(pages(gateway, "/api/sessions/bob/messages?since=0&limit=3&status=pending"))
    assert [message["id"] for page in found for message in page["messages"]] == ids
    assert [page["hasMore"] for page in found] == [True, True, False]
    # By priority there is no position to continue from.
    assert "link" not in gateway.ask("GET", "/api/sessions/bob/messages?limit=3").headers


def test_dead_letters(open_office: PostOffice, gateway: Gateway) -> None:
    with open_office.client("ann") as client:
        ids = {client.send("bob", f"{number}", ttl_ms=1)["id"] for number in range(5)}

    def dead() -> list[str]:
        found = pages(gateway, "/api/sessions/ann/dead-letters?limit=2")
        return [message["id"] for page in found for message in page["messages"]]

    eventually(lambda: set(dead()) == ids, "all have expired")
    assert len(dead()) == len(ids)


@pytest.mark.parametrize("query", ["limit=0", "limit=-1", "limit=x", "after=nonsense", "limit=1&limit=2"])
@pytest.mark.parametrize(
    "path", ["/api/sessions", "/api/sessions/kid1/siblings", "/api/sessions/ann/siblings"], ids=["all", "kid", "none"]
)
def test_a_page_that_can_not_be(family: list[str], gateway: Gateway, path: str, query: str) -> None:
    answer = gateway.ask("GET", f"{path}?{query}")
    assert (answer.status, answer.json["code"]) == (400, "INVALID"), family
    assert answer.json["hint"]


def test_the_largest_cursor_is_the_documented_one(gateway: Gateway) -> None:
    parameters = gateway.ask("GET", "/openapi.json").json["paths"]["/api/sessions/{session}/dead-letters"]["get"]
    [before] = [part["schema"] for part in parameters["parameters"] if part["name"] == "before"]
    for number, status in ((before["maximum"], 200), (before["maximum"] + 1, 400), (0, 400)):
        assert gateway.ask("GET", f"/api/sessions/ann/dead-letters?before={number}").status == status


def test_each_list_that_grows_has_pages(gateway: Gateway) -> None:
    """Every GET that answers a list, or an object with one, says in the document how to get the rest."""
    contract = gateway.ask("GET", "/openapi.json").json
    without = []
    for path, calls in contract["paths"].items():
        content = calls.get("get", {}).get("responses", {}).get("200", {}).get("content", {})
        schema = content.get("application/json", {}).get("schema", {})
        shape = contract["components"]["schemas"].get(schema.get("$ref", "").rpartition("/")[2], {})
        lists = [name for name in ("messages",) if name in shape.get("properties", {})]
        if (schema.get("type") == "array" or lists) and "Link" not in calls["get"]["responses"]["200"].get(
            "headers", {}
        ):
            without.append(path)
    # A thread says `hasMore`; its messages are in their mailboxes. A session's own timeline has 200 lines at most.
    # Unread mail is read page by page, and so is gone; the lists of the mail generation have an end, by number.
    assert without == [
        "/api/messages/{message}/thread",
        "/api/sessions/{session}/timeline",
        "/api/sessions/{session}/mail",
        "/api/mail/inbox/{session}",
        "/api/mail/wait/{session}",
        "/api/mail/thread/{message}",
    ]
