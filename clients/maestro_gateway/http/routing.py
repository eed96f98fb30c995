"""Routing: from the table of endpoints to Starlette's routes.

Rule: an endpoint is one row, and both the router and `/openapi.json` are made from it, so that they agree. A handler
gets its body and query decoded, and raises MaestroError. A caller may name a session that it has yet to start.
"""

from __future__ import annotations

import datetime as dt
import re
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, compile_path

from maestro_schemas.errors import MaestroError
from maestro_schemas.generators.field_errors import explained

from .credentials import is_unregistered
from .identity import SESSION_HEADER, caller_of, check_session_header, token_of
from .responses import answer, faulty, plain_error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    Handler = Callable[..., Awaitable[Response]]

# The version of the HTTP interface, not of the product: docs/http-versions.md has its rule.
API_VERSION: Final = "1.0.0"
PREFIXES = ("/api", "/api/v1")
# Tags of calls that have rules of their own for X-Session-ID: the first don't read it, a tool of the second says in
# words what is wrong with it, since a model reads that and no status of HTTP.
OPERATIONS: Final = "operations"
MCP: Final = "mcp"
_JSON_KINDS = ("application/json", "+json")
_PLAIN = "identity"
_CHARSET = re.compile(r"charset\s*=\s*\"?([^\s\";]*)", re.IGNORECASE)
_UTF_8 = ("utf-8", "utf8")
# Where a message about a field names it.
_AT = re.compile(r" - at `\$\.?([^`]*)`")
_MISSING = re.compile(r"required field `([^`]*)`")
_OF_VALUE = re.compile(r"^`([^`]*)` can't be")


class Deprecation(NamedTuple):
    """That a call will go, by the rule in docs/http-versions.md."""

    since: dt.date
    # The first day on which it may be gone.
    until: dt.date
    # The path of the call to use.
    successor: str

    def headers(self) -> dict[str, str]:
        """The headers of each answer (RFC 9745, RFC 8594, RFC 5829)."""
        since, until = (dt.datetime.combine(day, dt.time(), dt.UTC) for day in (self.since, self.until))
        return {
            "Deprecation": f"@{int(since.timestamp())}",
            "Sunset": format_datetime(until, usegmt=True),
            "Link": f'<{self.successor}>; rel="successor-version"',
        }


class Endpoint(NamedTuple):
    """One call."""

    method: str
    # Below a prefix where `versioned`.
    path: str
    handle: Handler
    summary: str
    # Status -> the shape of the JSON; None for no body, a string for another media type, a tuple for one of several.
    answers: dict[int, Any]
    # The call's own errors, without those of every call.
    codes: tuple[str, ...] = ()
    # Structs that the handler takes as `body=` and `query=`.
    body: type[msgspec.Struct] | None = None
    query: type[msgspec.Struct] | None = None
    versioned: bool = True
    tag: str = "messages"
    # The request's headers that the call reads; X-Session-ID only where it is required.
    headers: tuple[str, ...] = ()
    # A GET that changes something.
    changes: bool = False
    deprecation: Deprecation | None = None
    # An answer that is not the last page has a header `Link` to the next one.
    is_paged: bool = False
    # The body is raw bytes, which the handler reads in parts.
    is_upload: bool = False
    # A wrong field is VALIDATION_ERROR with a list of faults, as Maestro's own clients read it.
    lists_faults: bool = False


def upload_paths(table: Iterable[Endpoint]) -> list[re.Pattern[str]]:
    """Patterns of the paths whose body is not read before the call."""
    return [
        compile_path(prefix + endpoint.path)[0]
        for endpoint in table
        if endpoint.is_upload
        for prefix in (PREFIXES if endpoint.versioned else ("",))
    ]


def changing_paths(table: Iterable[Endpoint]) -> list[re.Pattern[str]]:
    """Patterns of the paths whose GET changes something, as the router matches them."""
    prefixed = (
        prefix + endpoint.path
        for endpoint in table
        if endpoint.changes
        for prefix in (PREFIXES if endpoint.versioned else ("",))
    )
    return [compile_path(path)[0] for path in prefixed]


def routes(table: Iterable[Endpoint]) -> list[Route]:
    """Starlette's routes for the table. Calls of one path are one route, so that another method is 405."""
    by_path: dict[str, dict[str, Endpoint]] = {}
    for endpoint in table:
        for prefix in PREFIXES if endpoint.versioned else ("",):
            by_path.setdefault(prefix + endpoint.path, {})[endpoint.method] = endpoint
    return [Route(path, _serve(calls), methods=sorted(calls)) for path, calls in by_path.items()]


def _serve(calls: dict[str, Endpoint]) -> Callable[[Request], Awaitable[Response]]:
    decoders = {
        method: msgspec.json.Decoder(endpoint.body) for method, endpoint in calls.items() if endpoint.body is not None
    }

    async def serve(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        endpoint = calls[method]
        given: dict[str, Any] = {}
        try:
            if endpoint.query is not None:
                given["query"] = _query(request, endpoint.query)
            if endpoint.body is not None:
                refusal = _unsupported(request)
                if refusal is not None:
                    return refusal
                given["body"] = _decoded(decoders[method], await request.body(), endpoint.body)
        except MaestroError as error:
            if not endpoint.lists_faults or error.code != "INVALID":
                raise
            raise _as_fault(error) from None
        if endpoint.tag not in (OPERATIONS, MCP):
            check_session_header(request)
        try:
            response = await endpoint.handle(request, **given)
        except MaestroError as error:
            if not is_unregistered(request, error) or token_of(request) is not None:
                raise
            response = await _without_session(endpoint, request, given, error)
        if endpoint.deprecation is not None:
            for name, text in endpoint.deprecation.headers().items():
                # Beside a `Link` of the call's own.
                response.headers.append(name, text)
        return response

    return serve


async def _without_session(
    endpoint: Endpoint, request: Request, given: dict[str, Any], error: MaestroError
) -> Response:
    """The answer to a caller that names a session which was never started: to a read as without the name. Its own id
    in the path is not found. Raises MaestroError."""
    name = caller_of(request).session
    if request.method in ("GET", "HEAD"):
        headers = [header for header in request.scope["headers"] if header[0].decode("latin-1") != SESSION_HEADER]
        try:
            return await endpoint.handle(Request({**request.scope, "headers": headers}, request.receive), **given)
        except MaestroError as other:
            if other.code not in ("NO_SESSION", "UNKNOWN_SESSION"):
                raise
    if request.path_params.get("session") == name and "SESSION_NOT_FOUND" in endpoint.codes:
        raise MaestroError(
            "SESSION_NOT_FOUND", f"there is no session {str(name)[:80]!r}", "POST /api/sessions starts it."
        )
    raise error


def not_as_it_is(request: Request) -> Response | None:
    """415 for a body that is compressed. Raises MaestroError for a part of one."""
    codings = [coding.strip().lower() for coding in request.headers.getlist("content-encoding")]
    if codings not in ([], [_PLAIN]):
        # RFC 9110 section 15.5.16: the answer says what is taken.
        return _not_taken(
            f"the body is said to be compressed ({', '.join(codings)[:64]})",
            "Send it as it is, without `Content-Encoding`.",
            {"Accept-Encoding": _PLAIN},
        )
    if "content-range" in request.headers:
        # RFC 9110 section 14.5: a part must not be taken for the whole.
        raise MaestroError("BAD_REQUEST", "the body is said to be a part (Content-Range)", "Send it whole.")
    return None


def _unsupported(request: Request) -> Response | None:
    """415 for a body that is not said to be JSON in UTF-8 as it is. Raises MaestroError for a part of one."""
    if (refusal := not_as_it_is(request)) is not None:
        return refusal
    kind, _, parameters = request.headers.get("content-type", "").partition(";")
    kind = kind.strip().lower()
    if not kind.endswith(_JSON_KINDS):
        return _not_taken(
            f"the body is {kind[:64] or 'of no named type'}, and this call takes JSON",
            "Send it with `Content-Type: application/json`.",
        )
    charset = _CHARSET.search(parameters)
    if charset is not None and charset[1].lower() not in _UTF_8:
        return _not_taken(f"the body is in {charset[1][:64]}, and JSON is in UTF-8", "Send it in UTF-8.")
    return None


def _not_taken(message: str, hint: str, headers: dict[str, str] | None = None) -> Response:
    return answer(plain_error(415, "UNSUPPORTED_MEDIA_TYPE", message, hint), 415, headers)


def _query(request: Request, shape: type[msgspec.Struct]) -> msgspec.Struct:
    # No name is there twice: the guard has refused that.
    given = dict(request.query_params.multi_items())
    try:
        query = msgspec.convert(given, shape, strict=False)
    except msgspec.ValidationError as error:
        raise _invalid("the query", explained(error, shape)) from None
    for field in msgspec.structs.fields(shape):
        # msgspec reads the word `null` as None, but a number or a switch has no such value.
        if field.encode_name in given and getattr(query, field.name) is None:
            raise _invalid("the query", f"`{field.encode_name}` can't be {given[field.encode_name][:64]!r}")
    return query


def _decoded(decoder: msgspec.json.Decoder[Any], raw: bytes, shape: type[msgspec.Struct]) -> Any:
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise _invalid("the body", explained(error, shape)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MaestroError("BAD_REQUEST", f"the body is no JSON: {error}", "Send one JSON object in UTF-8.") from None


def _as_fault(error: MaestroError) -> MaestroError:
    """An error of `_invalid` as a fault: its field, and what is wrong there."""
    why = error.message.partition(": ")[2]
    named = _AT.search(why) or _MISSING.search(why) or _OF_VALUE.search(why)
    return faulty(named[1] if named is not None else "", _AT.sub("", why))


def _invalid(what: str, why: str) -> MaestroError:
    return MaestroError("INVALID", f"{what}: {why}", "/docs lists each call's fields and values.")
