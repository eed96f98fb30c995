"""Request parser: judges the bytes that a peer sends, and puts the requests in them into one form.

Rule: sans-IO. Only a request whose head is whole and within its limits is passed on, written again from its parsed
parts: without trailers, without chunk extensions, with its target as a path and with one `Host` that agrees with it.
A header with one value is there once, so that no two programs on the way read different ones. So the server behind it
never sees a byte that was not understood here.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Final, NamedTuple

import httptools

from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from maestro_schemas.http_limits import HttpLimits

_WEBSOCKET: Final = b"websocket"
_WEBSOCKET_VERSION: Final = b"13"  # RFC 6455 section 4.1
_WEBSOCKET_KEY_BYTES: Final = 16
# `name: value` has this many bytes beside the two themselves, with the end of its line.
_HEADER_EXTRA_BYTES: Final = 4
# Headers that this gateway reads and that have one value (RFC 9110 section 5.3). llhttp judges Content-Length; a
# refused Host has words of its own.
_SINGLE: Final = frozenset(
    {
        b"authorization",
        b"content-range",
        b"content-type",
        b"idempotency-key",
        b"last-event-id",
        b"origin",
        b"sec-fetch-site",
        b"x-session-id",
    }
)
# Headers of one hop, which are replaced where a request asks for another protocol.
_UPGRADE_HEADERS: Final = frozenset({b"connection", b"upgrade"})


class ParsedInput(NamedTuple):
    """The result of one piece of input."""

    # Requests, or parts of them, for the server.
    requests: bytes
    # The number of heads in `requests`.
    heads: int
    # The head of a WebSocket handshake, which came after `requests`.
    handshake: bytes | None
    # Why the connection can't go on after `requests`.
    error: MaestroError | None


class RequestParser:
    """The requests of one connection."""

    def __init__(self, limits: HttpLimits) -> None:
        # A head is awaited or being read; else a body.
        self.in_head = True
        # Nothing more is parsed: an error, or a request for another protocol, was the last.
        self.is_done = False
        self._head_bytes_max = limits.head_bytes_max
        self._parser = httptools.HttpRequestParser(self)
        self._fault: MaestroError | None = None
        self._head_bytes = 0
        # Received since the last part that was understood: a line without an end, chunk extensions, trailers.
        self._unparsed_bytes = 0
        self._has_progressed = False
        self._method = b""
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._is_chunked = False
        self._handshake: bytes | None = None
        self._output: list[bytes] = []
        self._heads = 0

    @property
    def has_partial_head(self) -> bool:
        """Whether a part of a request's head was received."""
        return self.in_head and bool(self._head_bytes or self._unparsed_bytes)

    def feed(self, data: bytes) -> ParsedInput:
        """Parse a piece of input. Not to be called once `is_done`."""
        self._has_progressed = False
        self._heads = 0
        error: MaestroError | None = None
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.is_done = True
        except httptools.HttpParserError:
            self.is_done, error = True, self._fault or malformed()
        else:
            # Not where the piece also held a whole part, for then the share of the rest is not known; this happens
            # once, since the next piece counts.
            if not self._has_progressed:
                self._unparsed_bytes += len(data)
                if self._unparsed_bytes > self._head_bytes_max:
                    self.is_done, error = True, self._head_too_large(self._unparsed_bytes)
        # Not kept until the next piece comes, which may be never.
        output, self._output = self._output, []
        return ParsedInput(b"".join(output), self._heads, None if error else self._handshake, error)

    # --- httptools calls these -------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self.in_head = True
        self._head_bytes = self._unparsed_bytes = 0
        self._target, self._headers, self._is_chunked = b"", [], False

    def on_url(self, url: bytes) -> None:
        """A piece of the target."""
        self._target += url
        self._add_to_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; after the head, a trailer, which must not become one (RFC 9110 section 6.5.1)."""
        self._add_to_head(len(name) + len(value) + _HEADER_EXTRA_BYTES)
        if self.in_head:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The end of a head."""
        self._method = self._parser.get_method()
        self._judge_repeats()
        self._normalise_target()
        codings = [value.strip().lower() for name, value in self._headers if name == b"transfer-encoding"]
        # Other codings are refused here, because llhttp reports some of them only after this callback.
        if codings not in ([], [b"chunked"]):
            self._fail(malformed())
        self._is_chunked = bool(codings)
        if self._parser.should_upgrade():
            self._take_upgrade()
        else:
            self._emit(self._head())
        self._progress(in_head=False)

    def on_body(self, body: bytes) -> None:
        """A piece of a body."""
        self._output += (b"%x\r\n" % len(body), body, b"\r\n") if self._is_chunked else (body,)
        self._progress(in_head=False)

    def on_message_complete(self) -> None:
        """The end of a request."""
        if self._is_chunked:
            self._output.append(b"0\r\n\r\n")
        self._head_bytes = 0
        self._progress(in_head=True)

    # --- heads -----------------------------------------------------------------------------------------------

    def _progress(self, *, in_head: bool) -> None:
        self.in_head = in_head
        self._has_progressed = True
        self._unparsed_bytes = 0

    def _emit(self, head: bytes) -> None:
        self._output.append(head)
        self._heads += 1

    def _head(self) -> bytes:
        version = self._parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b\r\n" % (self._method, self._target, version)]
        lines += [b"%b: %b\r\n" % header for header in self._headers]
        return b"".join((*lines, b"\r\n"))

    def _take_upgrade(self) -> None:
        protocols = [value.strip().lower() for name, value in self._headers if name == b"upgrade"]
        kept = [header for header in self._headers if header[0] not in _UPGRADE_HEADERS]
        if protocols[-1:] == [_WEBSOCKET]:
            if not self._is_handshake():
                self._fail(
                    MaestroError(
                        "BAD_REQUEST",
                        "that is no WebSocket handshake of version 13",
                        "RFC 6455 section 4.1 has its form.",
                    )
                )
            self._headers = [*kept, (b"connection", b"upgrade"), (b"upgrade", _WEBSOCKET)]
            self._handshake = self._head()
        else:
            # Another protocol (h2c): answered as HTTP/1.1, and the last, for nothing more can be parsed.
            self._headers = [*kept, (b"connection", b"close")]
            self._emit(self._head())

    def _is_handshake(self) -> bool:
        """Whether the head is a WebSocket handshake (RFC 6455 section 4.2.1), and the request has no body."""
        keys = [value.strip() for name, value in self._headers if name == b"sec-websocket-key"]
        versions = [value.strip() for name, value in self._headers if name == b"sec-websocket-version"]
        has_body = self._is_chunked or any(
            name == b"content-length" and value.strip(b"0 ") for name, value in self._headers
        )
        try:
            key_sizes = [len(base64.b64decode(key, validate=True)) for key in keys]
        except binascii.Error:
            return False
        is_key = key_sizes == [_WEBSOCKET_KEY_BYTES]
        return self._method == b"GET" and is_key and versions == [_WEBSOCKET_VERSION] and not has_body

    def _judge_repeats(self) -> None:
        names = [name for name, _ in self._headers if name in _SINGLE]
        if len(names) > len(set(names)):
            name = next(name for name in names if names.count(name) > 1).decode()
            self._fail(
                MaestroError("BAD_REQUEST", f"the request has two headers `{name}`", "Send one, with one value.")
            )

    def _normalise_target(self) -> None:
        """Bring `http://host/path` into the form of the others. Its host replaces `Host` (RFC 9112 section 3.2.2), so
        that the two can't differ."""
        if self._target.startswith(b"/"):
            return
        target = httptools.parse_url(self._target)
        if target.schema is None or target.schema.lower() != b"http" or not target.host or target.userinfo:
            self._fail(malformed())
        host = b"[%b]" % target.host if b":" in target.host else target.host
        authority = host if target.port is None else b"%b:%d" % (host, target.port)
        self._headers = [(name, authority if name == b"host" else value) for name, value in self._headers]
        self._target = (target.path or b"/") + (b"?" + target.query if target.query else b"")

    # --- errors ----------------------------------------------------------------------------------------------

    def _add_to_head(self, count: int) -> None:
        self._head_bytes += count
        if self._head_bytes > self._head_bytes_max:
            self._fail(self._head_too_large(self._head_bytes))

    def _fail(self, error: MaestroError) -> None:
        """End a callback. httptools replaces the exception by one of its own, and `feed` finds the reason here."""
        self._fault = error
        raise error

    def _head_too_large(self, actual: int) -> MaestroError:
        limit = self._head_bytes_max
        return MaestroError(
            "HEAD_TOO_LARGE",
            f"the request's line and headers have {actual:,} bytes or more, and the limit is {limit:,}",
            "Send fewer or shorter headers.",
            limit=limit,
            actual=actual,
        )


def malformed() -> MaestroError:
    """The error for input that is no request."""
    return MaestroError("BAD_REQUEST", "that is no HTTP/1.1 request", "RFC 9112 has its form.")
