"""Web files: the page, and the files below `/web/`, from the package's own folder.

Rule: a file is public. It is served only if its name is plain and its kind is known, and only below the folder. Its
ETag is its digest, so that a browser asks each time, and gets the bytes only after a change, packed.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import os
import re
import stat
from typing import TYPE_CHECKING, Final

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request

FOLDER: Final = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(__file__))), "web")
INDEX: Final = "ui/index.html"

# Nothing of another origin, nothing inline, and no text that becomes markup: lit-html alone makes nodes of templates.
PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types lit-html"
)
# An icon has a style of its own for dark windows. As a document of its own it may do nothing else.
_PICTURE_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'"

# The end of a file's name -> its media type. `LICENSE` is a name without an end.
_KINDS: Final = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    "": "text/plain",
}
# As many as the page has.
_PACKED_MAX: Final = 64
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def web_routes() -> list[Route]:
    """The paths of the page, each of which is the same file, and of the files below `/web/`."""
    return [
        Route("/ui", _page),
        Route("/ui/{view:path}", _page),
        Route("/web/{file:path}", _file),
    ]


async def _page(request: Request) -> Response:
    return _answer(
        request,
        _read(INDEX),
        "text/html",
        {
            "Content-Security-Policy": PAGE_POLICY,
            # A window that another page opens has no hold on this one.
            "Cross-Origin-Opener-Policy": "same-origin",
        },
    )


async def _file(request: Request) -> Response:
    name = request.path_params["file"]
    kind = _KINDS.get(os.path.splitext(name)[1])
    if kind is None or not all(_PLAIN_NAME.fullmatch(part) for part in name.split("/")):
        raise HTTPException(404)
    policy = {"Content-Security-Policy": _PICTURE_POLICY} if kind == "image/svg+xml" else {}
    return _answer(request, _read(name), kind, policy)


def _read(name: str) -> bytes:
    try:
        # A folder can be opened, and a FIFO would wait for a writer.
        fd = os.open(os.path.join(FOLDER, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        raise HTTPException(404) from None
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise HTTPException(404)
        return os.read(fd, found.st_size)
    finally:
        os.close(fd)


def _answer(request: Request, content: bytes, kind: str, more: dict[str, str]) -> Response:
    digest = hashlib.sha256(content).hexdigest()[:32]
    is_packed = "gzip" in request.headers.get("accept-encoding", "")
    # Other bytes have another strong tag (RFC 9110 section 8.8.3.3).
    tag = f'"{digest}-gzip"' if is_packed else f'"{digest}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding", **more}
    # RFC 9110 section 13.1.2: the comparison is weak, and a proxy may have made the tag a weak one.
    known = [each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")]
    if tag in known or known == ["*"]:
        return Response(status_code=304, headers=headers)
    if is_packed:
        return Response(_packed(content), headers={**headers, "Content-Encoding": "gzip"}, media_type=kind)
    return Response(content, headers=headers, media_type=kind)


@functools.lru_cache(maxsize=_PACKED_MAX)
def _packed(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)
