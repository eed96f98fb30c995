"""Guard: the requests that are refused before the application sees them.

Rule: the outermost layer. A request under a foreign name, or from a foreign page, has no effect. Every answer carries
the headers that make a browser strict. A refusal has the documented shape. A page whose origin the settings name is
not foreign: its answers say so to the browser (CORS). The rule of names holds for it as well.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, unquote_to_bytes

from maestro_schemas.errors import MaestroError

from .admitted_pages import AdmittedPages
from .hosts import Hosts, is_same_origin
from .refusals import refuse
from .responses import ANSWER_HEADERS, CONNECTION, error_answer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from maestro_gateway.options import GatewayOptions

    from .server import ConnectionGuard

# RFC 9110 section 9.2.1. Any page can have these sent, and can't read the answers.
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
# The gateway's own pages, and no page at all (an address typed in). To a browser another port of this machine is
# `same-site`.
_OWN_SITES: Final = frozenset({b"same-origin", b"none"})
# The media type of an answer without an end of its own.
_STREAM: Final = b"text/event-stream"
# An escape in a path has two hexadecimal digits, and no control character is allowed, escaped or not.
_BAD_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_SECRETS: Final = frozenset({"token", "access_token"})
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


class Guard:
    """Middleware around the whole application. `changing`: the paths on which a GET changes something too."""

    def __init__(self, app: ASGIApp, options: GatewayOptions, changing: Sequence[re.Pattern[str]]) -> None:
        self._app = app
        self._changing = changing
        self._hosts = Hosts(options)
        self._pages = AdmittedPages(options)
        self._limits = options.limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        reply = _Reply(send, scope, self._pages.answer_headers(scope))
        try:
            await self._serve(scope, receive, reply)
        finally:
            reply.end()

    async def _serve(self, scope: Scope, receive: Receive, reply: _Reply) -> None:
        try:
            self._judge(scope)
        except MaestroError as error:
            await refuse(error, self._limits, scope, receive, reply)
            return
        asked = self._pages.preflight(scope)
        if asked is not None:
            await asked(scope, receive, reply)
            return
        try:
            await self._app(scope, receive, reply)
        except asyncio.CancelledError:
            # The gateway ends, and its grace period is over.
            if not reply.begun and scope["type"] == "http":
                stopping = MaestroError(
                    "STOPPING", "the gateway is shutting down", "Send the same again in a moment."
                )
                await error_answer(stopping, {"Connection": "close"})(scope, receive, reply)
            raise

    def _judge(self, scope: Scope) -> None:
        """Raises MaestroError BAD_REQUEST, HOST_REFUSED or ORIGIN_REFUSED."""
        headers = scope["headers"]
        server = scope.get("server")
        reached = server[0] if server else None
        hosts = [value for name, value in headers if name == b"host"]
        # RFC 9112 section 3.2 requires exactly one, and 400 otherwise.
        if len(hosts) != 1:
            raise MaestroError(
                "BAD_REQUEST",
                f"the request has {len(hosts)} Host headers, and needs one",
                "Any HTTP client sends it by itself.",
            )
        host = hosts[0].decode("latin-1")
        if not self._hosts.has(host, reached):
            raise MaestroError(
                "HOST_REFUSED",
                "this gateway does not answer under the name in the Host header",
                "Use localhost or 127.0.0.1, or the address that the gateway was started with.",
            )
        _judge_repeats(scope)
        _judge_path(scope)
        if self._is_safe(scope) or self._pages.admits(scope):
            return
        for name, value in headers:
            if name == b"origin" and not is_same_origin(value.decode("latin-1"), host):
                raise _foreign_page("the page that asks is not this gateway's own (Origin)")
            if name == b"sec-fetch-site" and value.strip().lower() not in _OWN_SITES:
                raise _foreign_page("the page that asks is not this gateway's own (Sec-Fetch-Site)")

    def _is_safe(self, scope: Scope) -> bool:
        """Whether the request changes nothing, so that any page may have it sent."""
        if scope["type"] != "http" or scope["method"] not in _SAFE_METHODS:
            return False
        # A page can have such a GET sent by the address of an image.
        return not any(path.match(scope["path"]) for path in self._changing)


class _Reply:
    """`send` that adds the headers of every answer, and reports the answer's begin and end to the connection."""

    def __init__(self, send: Send, scope: Scope, more: list[tuple[bytes, bytes]]) -> None:
        self.begun = False
        self._send = send
        self._more = more
        self._has_ended = scope["type"] != "http"
        # None where another server than ours runs the application, as in tests.
        self._connection: ConnectionGuard | None = scope.get("state", {}).get(CONNECTION)

    async def __call__(self, message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            self.begun = True
            headers = list(message.get("headers", ()))
            if self._connection is not None:
                self._connection.answer_begins(
                    is_stream=any(name == b"content-type" and value.startswith(_STREAM) for name, value in headers)
                )
            present = {name.lower() for name, _ in headers}
            headers += [header for header in ANSWER_HEADERS if header[0] not in present]
            headers += self._more
            message = {**message, "headers": headers}
        await self._send(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self._report_end()

    def end(self) -> None:
        """The application has returned; an answer that it did not complete never will be."""
        if not self._has_ended and self._connection is not None:
            # Later, for the server then closes the connection, or writes an answer of its own.
            asyncio.get_running_loop().call_soon(self._report_end)

    def _report_end(self) -> None:
        if not self._has_ended and self._connection is not None:
            self._has_ended = True
            self._connection.answer_ends()


def _judge_repeats(scope: Scope) -> None:
    """Raises MaestroError INVALID for a parameter of the query that is given twice, and for a token in it."""
    query = [name for name, _ in parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)]
    if len(query) > len(set(query)):
        name = next(name for name in query if query.count(name) > 1)
        raise MaestroError("INVALID", f"the query: `{name[:64]}` is given twice", "Give it once.")
    if not _SECRETS.isdisjoint(query):
        raise MaestroError(
            "INVALID",
            "the query: a token has no place in an address, which logs and histories keep",
            "Send it as `Authorization: Bearer`; over WebSocket in the first frame.",
        )


def _judge_path(scope: Scope) -> None:
    raw = scope.get("raw_path") or b""
    try:
        path = unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        path = "\0"
    if _BAD_ESCAPE.search(raw) or _CONTROL.search(path):
        raise MaestroError(
            "BAD_REQUEST", "the path has an escape or a character that no path here has", "/docs lists every call."
        )


def _foreign_page(why: str) -> MaestroError:
    return MaestroError(
        "ORIGIN_REFUSED",
        why,
        "Programs send no Origin; a page must come from the host and port that it asks. The gateway's setting "
        "`origins` names the pages of other origins that it admits.",
    )
