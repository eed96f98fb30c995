"""Docs page: every call, for people, at `/docs`.

Rule: made from the OpenAPI document alone, so that the two can't differ. It is plain HTML with a style sheet in a
file of its own and no script, so that the strictest content policy allows it. The examples work when they are pasted
from top to bottom, as often as the page is loaded again.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from starlette.responses import Response

from maestro_clients.protocol.new_ids import new_message_id
from maestro_gateway.http.error_docs import REMEDIES
from maestro_schemas.names import canonical_id, mark_of

from .openapi import MEDIA_JSON, MEDIA_OCTETS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request

HTML = "text/html"
STREAM = "text/event-stream"

POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_LINE_END = "\n"
# The examples of ids that a sender makes.
FIRST_ID, SECOND_ID = "msg_example_1", "msg_example_2"
# The file of the examples.
_FILE = "The build is green."
# An example of a stream, which never ends, listens for this time.
_LISTEN_S = 2


async def serve(request: Request) -> Response:
    """The page; its examples have the address that the request had."""
    base = str(request.base_url).rstrip("/")
    text = page(request.app.state.gateway.contract, base, new_message_id())
    headers = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
    return Response(text, headers=headers, media_type=HTML)


def page(contract: dict[str, Any], base: str, message_id: str) -> str:
    """The whole page. `base`: the gateway's URL. `message_id`: a new one, for the examples."""
    calls = [
        (path, method.upper(), call)
        for path, methods in contract["paths"].items()
        for method, call in methods.items()
    ]
    # Last, so that no example needs a message that another one has deleted.
    calls.sort(key=lambda call: call[1] == "DELETE")
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<title>Maestro messaging over HTTP</title><link rel="stylesheet" href="/web/docs.css"></head><body>',
        f"<h1>{_text(contract['info']['title'])}</h1>",
        f"<p>Version {_text(contract['info']['version'])} of the interface, ",
        f"served by version {_text(contract['info']['x-product-version'])} of Maestro. ",
        f"{_prose(contract['info']['description'])} The same for programs: ",
        '<a href="/openapi.json">/openapi.json</a>.</p>',
        "<nav><h2>Calls</h2><ul>",
    ]
    parts += [
        f'<li><a href="#{_text(call["operationId"])}"><code><span class="method">{method}</span>{_text(path)}</code>'
        f"</a> {_text(call['summary'])}</li>"
        for path, method, call in calls
    ]
    parts.append("</ul></nav><h2>Before the examples</h2><p>They are about two sessions, <code>ann</code> and ")
    parts.append("<code>bob</code>, in one project. Starting a session again changes nothing.</p>")
    parts.append(f"<pre>{_text(_LINE_END.join(openings(base)))}</pre>")
    for tag in contract["tags"]:
        parts.append(f"<h2>{_text(tag['name'].capitalize())}</h2>")
        for path, method, call in calls:
            if tag["name"] in call["tags"]:
                parts += _call(contract, path, method, call, base, message_id)
    parts += ["<h2>Errors</h2>", _code_table(calls), "</body></html>\n"]
    return "".join(parts)


def openings(base: str) -> list[str]:
    """The commands that must run before the examples."""
    sessions = [
        _command("POST", f"{base}/api/sessions", body={"id": name, "name": name.capitalize(), "projectId": "docs"})
        for name in ("ann", "bob")
    ]
    return [*sessions, _command("PUT", f"{base}/api/groups/reviews", body={"projectId": "docs"})]


def example(
    contract: dict[str, Any], path: str, method: str, call: dict[str, Any], base: str, message_id: str
) -> str:
    """A call as a shell command."""
    # The message's id says that `ann` sent it. An example has deleted the other message before those of mail.
    sent = _example_id(SECOND_ID if path.startswith("/api/mail/") else FIRST_ID, message_id)
    values = {
        "session": "bob",
        "group": "reviews",
        "message": canonical_id(sent, mark_of("ann")),
        "name": "cart.patch",
        "sha256": hashlib.sha256(_FILE.encode()).hexdigest(),
    }
    for name, value in values.items():
        path = path.replace(f"{{{name}}}", value)
    headers = {
        parameter["name"]: "ann"
        for parameter in call.get("parameters", ())
        if parameter["in"] == "header" and parameter["required"]
    }
    query = {
        parameter["name"]: parameter["schema"]["examples"][0]
        for parameter in call.get("parameters", ())
        if parameter["in"] == "query" and "examples" in parameter["schema"]
    }
    if query:
        path += f"?{urlencode(query)}"
    body: dict[str, Any] | str | None = None
    if "requestBody" in call:
        content = call["requestBody"]["content"]
        body = _sample(contract, content[MEDIA_JSON]["schema"], message_id) if MEDIA_JSON in content else _FILE
    kinds = {kind for found in call["responses"].values() for kind in found.get("content", ())}
    return _command(method, base + path, headers, body, listens=STREAM in kinds)


def _command(
    method: str,
    url: str,
    headers: dict[str, str] | None = None,
    body: dict[str, Any] | str | None = None,
    *,
    listens: bool = False,
) -> str:
    words = ["curl", "-sS"]
    if listens:
        words += ["-N", "--max-time", str(_LISTEN_S)]
    if method != "GET":
        words += ["-X", method]
    words.append(url)
    for name, value in (headers or {}).items():
        words += ["-H", f"{name}: {value}"]
    if isinstance(body, str):
        words += ["-H", f"Content-Type: {MEDIA_OCTETS}", "--data-binary", body]
    elif body is not None:
        words += ["-H", f"Content-Type: {MEDIA_JSON}", "-d", json.dumps(body)]
    return shlex.join(words)


def _sample(contract: dict[str, Any], schema: dict[str, Any], message_id: str) -> dict[str, Any]:
    """A body with the required fields and those that have an example."""
    shape = _resolved(contract, schema)
    found: dict[str, Any] = {}
    for name, field in shape["properties"].items():
        if "examples" in field:
            found[name] = _example_id(field["examples"][0], message_id)
        elif name in shape.get("required", ()):
            found[name] = _plain_sample(contract, field, message_id)
    return found


def _example_id(value: Any, message_id: str) -> Any:
    """An example's value; a new id in the place of an example of one."""
    return {FIRST_ID: message_id, SECOND_ID: f"{message_id}m"}.get(value, value) if isinstance(value, str) else value


def _plain_sample(contract: dict[str, Any], field: dict[str, Any], message_id: str) -> Any:
    kind = _resolved(contract, field)
    if "enum" in kind:
        return kind["enum"][0]
    if "properties" in kind:
        return _sample(contract, kind, message_id)
    return {"integer": 1, "number": 1, "boolean": True, "array": [], "object": {}}.get(kind.get("type", ""), "text")


def _call(
    contract: dict[str, Any], path: str, method: str, call: dict[str, Any], base: str, message_id: str
) -> Iterator[str]:
    yield f'<section id="{_text(call["operationId"])}"><h3>{method} {_text(path)}</h3><p>{_text(call["summary"])}'
    if call["description"] != call["summary"]:
        yield f" {_prose(call['description'])}"
    yield "</p>"
    for place, title in (("path", "In the path"), ("query", "In the query"), ("header", "Headers")):
        rows = [
            (parameter["name"], parameter["required"], parameter["schema"], parameter["description"])
            for parameter in call.get("parameters", ())
            if parameter["in"] == place
        ]
        yield from _fields(contract, title, rows)
    if "requestBody" in call:
        content = call["requestBody"]["content"]
        if MEDIA_JSON in content:
            yield from _shape(contract, "Body", content[MEDIA_JSON]["schema"])
        else:
            yield f"<h4>Body</h4><p>The file as it is, as <code>{_text(', '.join(content))}</code>.</p>"
    for status, found in call["responses"].items():
        if int(status) < 400 or "allOf" not in _schema_of(found):
            yield from _answer(contract, status, found)
    yield from _errors(call)
    yield f"<h4>Example</h4><pre>{_text(example(contract, path, method, call, base, message_id))}</pre></section>"


def _answer(contract: dict[str, Any], status: str, found: dict[str, Any]) -> Iterator[str]:
    content = found.get("content")
    if content is None:
        yield f"<h4>Answer {status}</h4><p>No body.</p>"
    elif MEDIA_JSON not in content:
        yield f"<h4>Answer {status}</h4><p><code>{_text(', '.join(content))}</code></p>"
    else:
        schema = content[MEDIA_JSON]["schema"]
        for kind in schema.get("anyOf", [schema]):
            many = "items" in kind
            title = f"Answer {status}{': an array of these' if many else ''}"
            yield from _shape(contract, title, kind["items"] if many else kind)


def _shape(contract: dict[str, Any], title: str, schema: dict[str, Any]) -> Iterator[str]:
    shape = _resolved(contract, schema)
    rows = [
        (name, name in shape.get("required", ()), field, field.get("description", ""))
        for name, field in shape.get("properties", {}).items()
        if not field.get("readOnly")
    ]
    yield from _fields(contract, title, rows, shape.get("description", ""))


def _fields(
    contract: dict[str, Any], title: str, rows: list[tuple[str, bool, dict[str, Any], str]], about: str = ""
) -> Iterator[str]:
    if not rows:
        return
    yield f"<h4>{_text(title)}</h4>"
    if about:
        yield f"<p>{_prose(about)}</p>"
    yield "<table>"
    for name, required, schema, text in rows:
        must = ' <span class="required">required</span>' if required else ""
        yield f"<tr><td><code>{_text(name)}</code>{must}</td><td>{_kind(contract, schema)}</td>"
        yield f"<td>{_prose(text)}</td></tr>"
    yield "</table>"


def _errors(call: dict[str, Any]) -> Iterator[str]:
    rows = [(status, code) for status, found in call["responses"].items() for code in _codes(found)]
    if rows:
        yield "<h4>Errors</h4><table>"
        for status, code in rows:
            yield f'<tr><td>{status}</td><td><a href="#{code}"><code>{code}</code></a></td>'
            yield f"<td>{_prose(REMEDIES[code].when)} {_prose(REMEDIES[code].step)}</td></tr>"
        yield "</table>"


def _code_table(calls: list[tuple[str, str, dict[str, Any]]]) -> str:
    there = {code for _, _, call in calls for found in call["responses"].values() for code in _codes(found)}
    rows = [
        f'<tr id="{code}"><td><code>{code}</code></td>'
        f"<td>{_prose(remedy.when)}</td><td>{_prose(remedy.step)}</td></tr>"
        for code, remedy in REMEDIES.items()
        if code in there or code in ("NOT_FOUND", "METHOD_NOT_ALLOWED")
    ]
    return f"<table><tr><th>Code</th><th>When</th><th>What to do</th></tr>{''.join(rows)}</table>"


def _schema_of(found: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = found.get("content", {}).get(MEDIA_JSON, {}).get("schema", {})
    return schema


def _codes(found: dict[str, Any]) -> list[str]:
    parts = _schema_of(found).get("allOf", ())
    return [code for part in parts for code in part.get("properties", {}).get("code", {}).get("enum", ())]


def _kind(contract: dict[str, Any], schema: dict[str, Any]) -> str:
    """A field's type and its limits, in words."""
    kinds = [kind for kind in schema.get("anyOf", [schema]) if kind != {"type": "null"}]
    words = " or ".join(_one_kind(contract, kind) for kind in kinds)
    if {"type": "null"} in schema.get("anyOf", ()):
        words += " or null"
    limits = {**schema, **(kinds[0] if kinds else {})}
    words_of_limits = [
        f"{word} {limits[key]:,}"
        for key, word in (
            ("minimum", "from"),
            ("maximum", "to"),
            ("minLength", "characters from"),
            ("maxLength", "characters up to"),
            ("maxItems", "items up to"),
        )
        if key in limits
    ]
    if "pattern" in limits:
        words_of_limits.append(f"like <code>{_text(limits['pattern'])}</code>")
    return ", ".join([words, *words_of_limits])


def _one_kind(contract: dict[str, Any], kind: dict[str, Any]) -> str:
    if "$ref" in kind:
        shape = _resolved(contract, kind)
        names = ", ".join(name for name, field in shape.get("properties", {}).items() if not field.get("readOnly"))
        return f"object <code>{{{_text(names)}}}</code>"
    if "enum" in kind:
        return " or ".join(f"<code>{_text(json.dumps(value))}</code>" for value in kind["enum"])
    if kind.get("type") == "array":
        if "prefixItems" in kind:
            return f"array of exactly {', '.join(_kind(contract, each) for each in kind['prefixItems'])}"
        return f"array of {_kind(contract, kind.get('items', {}))}"
    return _text(kind.get("type", "any JSON"))


def _resolved(contract: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in schema:
        return schema
    found: dict[str, Any] = contract["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found


def _text(words: object) -> str:
    return escape(str(words))


def _prose(words: str) -> str:
    """Escaped, with the parts in backticks as code."""
    parts = escape(words).split("`")
    return "".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts))
