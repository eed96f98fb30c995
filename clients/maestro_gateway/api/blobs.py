"""Blobs over HTTP: the contents of files, uploaded before a message names them, and the files of a message.

Rule: a content is raw bytes, in parts, and never whole in memory. No path of the caller's is opened: the caller has
read the file. What an agent has sent is never shown as active content: a browser saves it, but for the images whose
first bytes are those of an image.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import tempfile
from typing import TYPE_CHECKING, BinaryIO, cast
from urllib.parse import quote

from starlette.requests import ClientDisconnect
from starlette.responses import Response, StreamingResponse

from maestro_clients.attachments import uploads
from maestro_gateway.http.identity import caller_of, token_of
from maestro_gateway.http.refusals import refuse
from maestro_gateway.http.responses import answer
from maestro_gateway.http.routing import not_as_it_is
from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import Limits

from .messages import client_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from maestro_clients.async_client import AsyncClient
    from maestro_clients.protocol.callers import Caller
    from maestro_gateway.context import GatewayContext
    from maestro_schemas.documents import BlobPartDoc
    from maestro_schemas.http_limits import HttpLimits

    from .bodies import FileQuery

OCTETS = "application/octet-stream"
# Uploads at once, each with a file on the gateway's disk for as long as it lasts.
UPLOADS_MAX = 16
_MIB = 1 << 20
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
# RFC 5987: all other bytes are escaped in a name.
_NAME_MARKS = "!#$&+-.^_`|~"
# The formats that a browser shows as they are, by their first bytes.
_IMAGES = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "image/webp"),
)


async def upload(request: Request) -> Response:
    """201, the digest and the size of the body, which is the file as it is. A message then names them in
    `attachments`. A content that no message names is kept for an hour at least."""
    return await _upload(request, None)


async def put(request: Request) -> Response:
    """The same for a content whose digest is known: it is checked. A repeat changes nothing."""
    wanted = request.path_params["sha256"]
    if not _DIGEST.fullmatch(wanted):
        raise MaestroError(
            "INVALID", f"{wanted[:80]!r} is no SHA-256 digest", "It has 64 digits of 0-9 and a-f, in small letters."
        )
    return await _upload(request, wanted)


async def file(request: Request, *, query: FileQuery) -> Response:
    """A file of a message, for its sender, its receiver and the operator. It is to be saved and not shown; with
    `inline=1` a PNG, JPEG, GIF or WebP image is shown, if its first bytes say that it is one."""
    message_id, name = request.path_params["message"], request.path_params["name"]
    client, caller = client_of(request), caller_of(request)
    if caller.session is None and token_of(request) is not None:
        # As every call about a message: the token of its receiver.
        receiver = await client.message(message_id, as_receiver=True, caller=_with_token(request, None))
        caller = _with_token(request, receiver["to"])
    first = await client.blob_get(message_id, name, caller=caller)
    image = next((kind for pattern, kind in _IMAGES if pattern.match(first["data"])), None)
    is_shown = query.inline and image is not None
    headers = {
        "Content-Length": str(first["size"]),
        "Content-Disposition": f"{'inline' if is_shown else 'attachment'}; filename*=UTF-8''{_escaped(name)}",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "ETag": f'"{first["sha256"]}"',
    }
    media_type = image if is_shown and image is not None else OCTETS
    return StreamingResponse(_parts(client, caller, message_id, name, first), 200, headers, media_type)


def _with_token(request: Request, session: str | None) -> Caller:
    from maestro_clients.protocol.callers import Caller

    return Caller(session, token_of(request))


def _escaped(name: str) -> str:
    return quote(name, safe=_NAME_MARKS)


async def _parts(
    client: AsyncClient, caller: Caller, message_id: str, name: str, first: BlobPartDoc
) -> AsyncIterator[bytes]:
    """The content. An error in the middle cuts the connection, and the length says that something is missing."""
    yield first["data"]
    at = len(first["data"])
    while at < first["size"]:
        part = await client.blob_get(message_id, name, offset=at, caller=caller)
        if not part["data"]:
            return
        yield part["data"]
        at += len(part["data"])


# --- uploads -----------------------------------------------------------------------------------------------


class _RefusedUpload(Response):
    """The error of an upload whose body may be on its way."""

    def __init__(self, error: MaestroError, limits: HttpLimits) -> None:
        super().__init__()
        self._error = error
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await refuse(self._error, self._limits, scope, receive, send)


async def _upload(request: Request, wanted: str | None) -> Response:
    gateway = cast("GatewayContext", request.app.state.gateway)
    limits = gateway.options.limits
    if (refusal := not_as_it_is(request)) is not None:
        return refusal
    if gateway.uploads.locked():
        busy = MaestroError(
            "BUSY",
            f"the gateway takes {UPLOADS_MAX} uploads at once",
            "Try again in a moment.",
            retry_after_s=1.0,
            limit=UPLOADS_MAX,
        )
        return _RefusedUpload(busy, limits)
    client, caller = client_of(request), caller_of(request)
    async with gateway.uploads:
        # Without a name in any folder, so that nothing is left of it.
        with tempfile.TemporaryFile() as spooled:
            try:
                bytes_max = (await client.hello())["limits"].get(
                    "attachment_bytes_max", Limits().attachment_bytes_max
                )
                sha256, size = await _spool(request, spooled, bytes_max, limits)
            except MaestroError as error:
                gateway.broker.search_after(error)
                return _RefusedUpload(error, limits)
            if wanted not in (None, sha256):
                raise MaestroError(
                    "BLOB_MISMATCH",
                    f"the body has the digest {sha256}, and the path names {wanted}",
                    "Send the file to the path of its own digest.",
                )

            def part(offset: int, count: int) -> bytes:
                spooled.seek(offset)
                return spooled.read(count)

            await client.carry_out(uploads.put_parts(sha256, size, part, caller=caller))
    return answer({"sha256": sha256, "size": size}, 201)


async def _spool(request: Request, into: BinaryIO, bytes_max: int, limits: HttpLimits) -> tuple[str, int]:
    """Read the body into a file; its digest and its size. Raises MaestroError ATTACHMENT_TOO_LARGE, REQUEST_TIMEOUT,
    or BAD_REQUEST."""
    declared = request.headers.get("content-length", "0")
    if declared.isascii() and declared.isdecimal() and int(declared) > bytes_max:
        raise _too_large(int(declared), bytes_max)
    # A large body may take longer than a small one.
    wait_ms = limits.body_timeout_ms * (1 + bytes_max // _MIB)
    digest, size = hashlib.sha256(), 0
    try:
        async with asyncio.timeout(wait_ms / 1000):
            async for piece in request.stream():
                size += len(piece)
                if size > bytes_max:
                    raise _too_large(size, bytes_max)
                digest.update(piece)
                into.write(piece)
    except TimeoutError:
        raise MaestroError(
            "REQUEST_TIMEOUT", f"the body did not arrive within {wait_ms} ms", "Send it at once.", limit=wait_ms
        ) from None
    except ClientDisconnect:
        raise MaestroError("BAD_REQUEST", "the connection ended within the body", "Send it whole.") from None
    return digest.hexdigest(), size


def _too_large(actual: int, limit: int) -> MaestroError:
    return MaestroError(
        "ATTACHMENT_TOO_LARGE",
        f"the body has {actual:,} bytes or more, and the limit is {limit:,} for a file",
        "Make it smaller, or send it in parts.",
        limit=limit,
        actual=actual,
    )
