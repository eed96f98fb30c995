"""`/openapi.json`, `/docs` and `/metrics` of a real gateway."""

from __future__ import annotations

import html.parser
import os
import subprocess
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.routing import Route

from maestro_gateway import app
from maestro_gateway.docs import docs_page, openapi
from maestro_gateway.http import error_docs, routing
from maestro_gateway.http.page.web_files import web_routes
from maestro_gateway.http.routing import PREFIXES
from maestro_gateway.options import GatewayOptions
from maestro_gateway.routes import CALLS
from support.gateways import Gateway
from support.post_office import own_id

if TYPE_CHECKING:
    from prometheus_client import Metric

    from support.post_office import PostOffice

CONTRACT = openapi.document(CALLS)
OPERATIONS = [(path, method, call) for path, calls in CONTRACT["paths"].items() for method, call in calls.items()]
IDS = [f"{method} {path}" for path, method, _ in OPERATIONS]


# --- the document ----------------------------------------------------------------------------------------------


def test_every_route_is_in_the_document_and_the_reverse(tmp_path: Any) -> None:
    """HEAD and the second prefix are described once for all calls. The page's files are no calls."""
    files = {route.path for route in web_routes()}
    routes = app.make(GatewayOptions(str(tmp_path), {})).routes
    served = {
        (route.path, method)
        for route in routes
        if isinstance(route, Route) and route.path not in files
        for method in (route.methods or ())
        if method != "HEAD"
    }
    described = {(path, method.upper()) for path, method, _ in OPERATIONS}
    again = {(path.replace(*PREFIXES, 1), method) for path, method in described if path.startswith(f"{PREFIXES[0]}/")}
    assert served == described | again


def test_the_document_is_what_is_served(gateway: Gateway) -> None:
    answer = gateway.ask("GET", "/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json == CONTRACT


def test_references_lead_somewhere_and_nothing_is_left_over() -> None:
    def references(part: Any) -> set[str]:
        if isinstance(part, list):
            return {name for inner in part for name in references(inner)}
        if not isinstance(part, dict):
            return set()
        own = {part["$ref"]} if isinstance(part.get("$ref"), str) else set()
        return own | {name for inner in part.values() for name in references(inner)}

    assert references(CONTRACT) == {f"#/components/schemas/{name}" for name in CONTRACT["components"]["schemas"]}
    for schema in CONTRACT["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_names_of_operations_are_their_own() -> None:
    names = [call["operationId"] for _, _, call in OPERATIONS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(("path", "method", "call"), OPERATIONS, ids=IDS)
def test_each_call_is_described_whole(path: str, method: str, call: dict[str, Any]) -> None:
    """Its path's parameters, the errors of every call, and those of a call with a body."""
    there = {part["name"] for part in call.get("parameters", ()) if part["in"] == "path"}
    assert {f"{{{name}}}" for name in there} == {part for part in path.split("/") if part.startswith("{")}
    assert all(part["description"] for part in call.get("parameters", ()))
    statuses = set(call["responses"])
    if call["tags"] != [routing.OPERATIONS]:
        assert {"401", "500", "503"} <= statuses
        assert "X-Session-ID" in {part["name"] for part in call["parameters"]}
    assert ("requestBody" in call) == ({"400", "413", "415"} <= statuses)


def test_every_code_has_a_remedy_and_every_remedy_a_code() -> None:
    described = {code for call in CALLS for codes in openapi.codes_of(call).values() for code in codes}
    assert described | {"NOT_FOUND", "METHOD_NOT_ALLOWED"} == set(error_docs.REMEDIES)


def test_an_absent_field_is_never_null_in_a_message_and_may_be_in_a_request() -> None:
    schemas = CONTRACT["components"]["schemas"]
    assert schemas["Metadata"]["properties"]["taskId"]["type"] == "string"
    assert {"type": "null"} in schemas["MetadataGiven"]["properties"]["taskId"]["anyOf"]
    assert {"type": "null"} in schemas["SessionShown"]["properties"]["name"]["anyOf"]


# --- the page --------------------------------------------------------------------------------------------------


class Page(html.parser.HTMLParser):
    """The parts of the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.ids: list[str] = []
        self.examples: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "link"):
            self.open.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag == "pre":
            self.examples.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "pre":
            self.examples[-1] += data


def test_the_page_needs_nothing_but_its_style(gateway: Gateway) -> None:
    """No script, no inline style, nothing from other hosts; every link within the page has a target."""
    answer = gateway.ask("GET", "/docs")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'; style-src 'self'" in answer.headers["content-security-policy"]
    page = Page(answer.body.decode())
    assert page.open == []
    assert {"script", "style", "img", "iframe", "form"}.isdisjoint(page.tags)
    assert not any(name == "style" or name.startswith("on") for _, name, _ in page.attributes)
    links = [value or "" for _, name, value in page.attributes if name in ("href", "src")]
    assert {link for link in links if not link.startswith("#")} == {"/web/docs.css", "/openapi.json"}
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in links if link.startswith("#")} <= set(page.ids)
    style = gateway.ask("GET", "/web/docs.css")
    assert style.headers["content-type"] == "text/css; charset=utf-8"
    assert b"url(" not in style.body


def test_files_are_served_from_one_folder_and_from_there_alone(gateway: Gateway) -> None:
    """A file has the strict headers of every answer, and an error its shape."""
    style = gateway.ask("GET", "/web/docs.css")
    assert style.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in style.headers["content-security-policy"]
    for path in ("/web", "/web/", "/web/none", "/web/../app.py", "/web/%2e%2e/app.py", "/web//etc/passwd"):
        answer = gateway.ask("GET", path)
        assert (answer.status, answer.json["code"]) == (404, "NOT_FOUND"), path
    answer = gateway.ask("POST", "/web/docs.css", {})
    assert (answer.status, answer.json["code"]) == (405, "METHOD_NOT_ALLOWED")


def test_every_call_is_on_the_page(gateway: Gateway) -> None:
    text = gateway.ask("GET", "/docs").body.decode()
    for path, method, call in OPERATIONS:
        assert f"<h3>{method.upper()} {path}</h3>" in text
        assert f'<section id="{call["operationId"]}">' in text


# A message that is not dead, a code that was never made, and a file of a message without one: none can be in an
# example.
_REFUSED = ("/retry", "/ui/login", "/attachments/cart.patch")


def test_the_examples_work_when_they_are_pasted(post_office: PostOffice) -> None:
    """From top to bottom with a new broker; and again, because the page makes new ids."""
    post_office.start()
    with Gateway(post_office) as gateway:
        for _ in range(2):
            page = Page(gateway.ask("GET", "/docs").body.decode())
            commands = [line for example in page.examples for line in example.splitlines()]
            assert len(commands) == len(OPERATIONS) + 3
            for command in commands:
                shown = subprocess.run(
                    ["sh", "-c", f"{command} -w '\\n%{{http_code}}' -o {os.devnull}"],
                    capture_output=True,
                    text=True,
                    timeout=30,
                    check=False,
                )
                # 28: the time that the example listens to a stream, which never ends, is over.
                assert shown.returncode in (0, 28), (command, shown.stderr)
                is_refused = any(path in command for path in _REFUSED)
                assert shown.stdout.strip().startswith("4" if is_refused else "2"), (command, shown.stdout)


def test_a_page_is_safe_whatever_the_address(gateway: Gateway) -> None:
    text = docs_page.page(CONTRACT, "http://<script>'", "m1")
    assert "<script>" not in text


def test_the_index(gateway: Gateway) -> None:
    found = gateway.ask("GET", "/").json
    assert found["name"] == "maestro-messaging"
    for path in found["links"].values():
        assert gateway.ask("GET", path).status == 200


# --- the numbers -----------------------------------------------------------------------------------------------


def numbers(gateway: Gateway) -> dict[str, Metric]:
    """The page as Prometheus reads it: name -> family. Fails if it can't be parsed."""
    answer = gateway.ask("GET", "/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    families = list(text_string_to_metric_families(answer.body.decode()))
    names = [family.name for family in families]
    assert len(names) == len(set(names))
    for family in families:
        assert family.documentation, family.name
        assert family.type != "unknown", family.name
    return {family.name: family for family in families}


def value(found: dict[str, Metric], name: str, sample: str = "", **labels: str) -> float | None:
    """One sample; None where there is none."""
    wanted = [one for one in found[name].samples if one.name == (sample or name) and one.labels == labels]
    return wanted[0].value if wanted else None


def test_the_numbers_of_broker_and_gateway(open_office: PostOffice, gateway: Gateway) -> None:
    who = {"X-Session-ID": "ann"}
    for text in ("a", "b"):
        gateway.ask("POST", "/api/sessions/bob/messages", {"message": text, "id": text}, headers=who)
    gateway.ask("POST", "/api/sessions/absent/messages", {"message": "x"}, headers=who)
    gateway.ask("PATCH", f"/api/messages/{own_id('ann', 'a')}", {"status": "read"})
    for path in ("/nothing", "/nothing/else"):
        gateway.ask("GET", path)
    gateway.ask("PROPFIND", "/api/sessions")
    found = numbers(gateway)
    assert value(found, "maestro_up") == 1
    messages = {one.labels["event"]: one.value for one in found["maestro_messages"].samples}
    assert messages == {"accepted": 2, "offered": 0, "delivered": 1, "read": 1, "deleted": 0, "expired": 0}
    refusals = "maestro_refusals"
    assert value(found, refusals, f"{refusals}_total", code="RECEIVER_NOT_FOUND") == 1
    assert value(found, "maestro_messages_pending") == 1
    commits, stats = found["maestro_commit_duration_seconds"].samples, open_office.client().stats()
    [count] = [one.value for one in commits if one.name.endswith("_count")]
    buckets = [one.value for one in commits if one.name.endswith("_bucket")]
    assert count == stats["commit"]["count"] == buckets[-1]
    assert buckets == sorted(buckets)
    assert value(found, "maestro_journal_bytes") == stats["disk"]["journalBytes"]
    sends = {"route": "/api/sessions/{session}/messages", "method": "POST"}
    requests = "maestro_http_requests"
    assert value(found, requests, f"{requests}_total", **sends, status="201") == 2
    assert value(found, requests, f"{requests}_total", **sends, status="404") == 1
    # An invented path or method gets no series of its own.
    assert value(found, requests, f"{requests}_total", route="other", method="GET", status="404") == 2
    assert value(found, requests, f"{requests}_total", route="/api/sessions", method="other", status="405") == 1
    durations = "maestro_http_request_duration_seconds"
    assert value(found, durations, f"{durations}_count", **sends) == 3
    assert value(found, "maestro_http_requests_in_flight") == 1
    assert (value(found, "maestro_websocket_clients"), value(found, "maestro_event_streams")) == (0, 0)


def test_the_gateways_own_numbers_without_a_broker(open_office: PostOffice) -> None:
    """A paused broker counts as away, and the scraper does not wait for it."""
    open_office.environ["MAESTRO_AUTOSTART"] = "0"
    with Gateway(open_office) as gateway:
        open_office.pause()
        paused = numbers(gateway)
        open_office.resume()
        assert value(numbers(gateway), "maestro_up") == 1
        open_office.kill()
        for found in (paused, numbers(gateway)):
            assert value(found, "maestro_up") == 0
            assert "maestro_messages" not in found
            assert "maestro_http_requests" in found


@pytest.mark.parametrize("path", ["/api/v1" + call.path for call in CALLS if call.method == "GET" and call.versioned])
def test_a_header_that_is_no_session_id_is_refused_by_every_read(gateway: Gateway, path: str) -> None:
    """Also by those that need no session (`/status`, `/search/operators`), which would answer as to the operator."""
    asked = path.replace("{sha256}", "0" * 64).replace("{", "").replace("}", "").removesuffix(":path")
    got = gateway.ask("GET", asked, headers={"X-Session-ID": "a b"})
    if got.json["code"] == "INVALID":
        # A call whose query lacks something says that first.
        assert "query" in got.json["message"]
        return
    assert (got.status, got.json["code"]) == (401, "UNKNOWN_SESSION"), got.json
