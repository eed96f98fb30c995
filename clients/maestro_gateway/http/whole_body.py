"""Whole body: reads a request's body before the call begins.

Rule: behind the check of credentials, so that no byte of a refused caller is kept. A body is limited in its size and
its time. A call that is open to all takes no body, but the login, which takes a short one: what comes is read and
dropped, within the same limits.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Final

from maestro_schemas.errors import MaestroError

from .credentials import LOGIN_PATH, is_open
from .refusals import refuse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from maestro_schemas.http_limits import HttpLimits

# Of the one open call that takes a body.
_LOGIN_BYTES_MAX: Final = 1_024
_LENGTH: Final = re.compile(rb"[0-9]{1,19}")


class WholeBody:
    """Middleware that gives the application a body that is there already."""

    def __init__(self, app: ASGIApp, limits: HttpLimits, uploads: Sequence[re.Pattern[str]] = ()) -> None:
        """`uploads`: the paths whose calls read their bodies in parts, within limits of their own."""
        self._app = app
        self._limits = limits
        self._uploads = uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not any(path.match(scope["path"]) for path in self._uploads):
            try:
                receive = await self._with_whole_body(scope, receive)
            except MaestroError as error:
                await refuse(error, self._limits, scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _with_whole_body(self, scope: Scope, receive: Receive) -> Receive:
        """`receive` for the application, with the whole body. Raises MaestroError BAD_REQUEST, FRAME_TOO_LARGE or
        REQUEST_TIMEOUT."""
        declared, is_chunked = 0, False
        for name, value in scope["headers"]:
            if name == b"content-length":
                # llhttp has refused two of them, and one with a Transfer-Encoding.
                if not _LENGTH.fullmatch(value):
                    raise MaestroError("BAD_REQUEST", "Content-Length is no number", "Send the body's length.")
                declared = int(value)
            is_chunked = is_chunked or name == b"transfer-encoding"
        if not declared and not is_chunked:
            return receive
        is_login = scope["path"] == LOGIN_PATH
        most = _LOGIN_BYTES_MAX if is_login else self._limits.body_bytes_max
        if declared > most:
            raise _too_large(declared, most)
        try:
            async with asyncio.timeout(self._limits.body_timeout_ms / 1000):
                body = await _read(receive, most, is_kept=is_login or not is_open(scope))
        except TimeoutError:
            raise MaestroError(
                "REQUEST_TIMEOUT",
                f"the body did not arrive within {self._limits.body_timeout_ms} ms",
                "Send it at once, with its Content-Length.",
                limit=self._limits.body_timeout_ms,
            ) from None
        whole: Message | None = {"type": "http.request", "body": body, "more_body": False}

        async def replay() -> Message:
            nonlocal whole
            if whole is None:
                return await receive()
            message, whole = whole, None
            return message

        return replay


async def _read(receive: Receive, most: int, *, is_kept: bool) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise MaestroError("BAD_REQUEST", "the connection ended within the body", "Send it whole.")
        piece = message.get("body", b"")
        size += len(piece)
        if size > most:
            raise _too_large(size, most)
        if is_kept:
            pieces.append(piece)
        if not message.get("more_body", False):
            return b"".join(pieces)
        # Otherwise a piece that is not kept would live until the next one comes.
        del message, piece


def _too_large(actual: int, most: int) -> MaestroError:
    return MaestroError(
        "FRAME_TOO_LARGE",
        f"the body has {actual:,} bytes or more, and the limit is {most:,}",
        "Send a long text as a file: POST /api/blobs, then name it in `attachments`.",
        limit=most,
        actual=actual,
    )
