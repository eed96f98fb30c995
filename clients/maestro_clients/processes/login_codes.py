"""Login codes: how `maestro ui` hands a browser to the gateway, where the kernel can't vouch for it.

Rule: a code is a secret of 128 bits that works once, for a minute. Only its digest is on the disk: a private file
named by it, which says until when the code is good and what it allows. The gateway claims a code by removing that
file, so of two claims one succeeds. The address with the code is never on a command line: the browser opens a private
file that leads to it, and the file goes with the code.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import html
import json
import os
from typing import Final, Literal, cast

from maestro_runtime import atomic_file, places

Rights = Literal["full", "view"]

LIFE_MS: Final = 60_000
_CODE_BYTES: Final = 16
# A longer text is no code.
_CODE_CHARS_MAX: Final = 64
_FILE_BYTES_MAX: Final = 256
_FOR_OTHERS: Final = 0o077
_RIGHTS: Final = ("full", "view")
_CODES, _REDIRECT_END = "codes", ".html"


def directory(data: str) -> str:
    """Where codes and the browser's files are."""
    return os.path.join(data, "http", _CODES)


def issue(data: str, rights: Rights, now_ms: int) -> str:
    """A new code. Those that are no longer good are removed. Raises OSError."""
    places.make_directory(directory(data))
    forget(data, now_ms)
    code = base64.urlsafe_b64encode(os.urandom(_CODE_BYTES)).rstrip(b"=").decode()
    content = json.dumps({"expiresAt": now_ms + LIFE_MS, "rights": rights}).encode()
    atomic_file.create(_path(data, code), content, durable=False)
    return code


def claim(data: str, code: str, now_ms: int) -> Rights | None:
    """What a code allows; None for one that was never issued, was used, or is too old. It is used up by this."""
    if len(code) > _CODE_CHARS_MAX:
        return None
    path = _path(data, code)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path + _REDIRECT_END)
    expires_at, rights = _read(path)
    try:
        os.unlink(path)
    except OSError:
        # Another claim was faster.
        return None
    return rights if expires_at - LIFE_MS <= now_ms < expires_at else None


def redirect(data: str, code: str, url: str) -> str:
    """The path of a new private file that leads a browser to `url`. Raises OSError."""
    path = _path(data, code) + _REDIRECT_END
    target = html.escape(url, quote=True)
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="referrer" content="no-referrer">'
        f'<meta http-equiv="refresh" content="0;url={target}"><title>maestro</title></head>'
        f'<body><p><a href="{target}">Open the page of maestro</a></p></body></html>\n'
    )
    atomic_file.create(path, page.encode(), durable=False)
    return path


def forget(data: str, now_ms: int | None = None) -> None:
    """Remove the codes that are too old at this time; without a time all of them."""
    with contextlib.suppress(OSError):
        for name in os.listdir(directory(data)):
            path = os.path.join(directory(data), name)
            if now_ms is None or now_ms >= _read(path.removesuffix(_REDIRECT_END))[0]:
                with contextlib.suppress(OSError):
                    os.unlink(path)


def _path(data: str, code: str) -> str:
    return os.path.join(directory(data), hashlib.sha256(code.encode()).hexdigest())


def _read(path: str) -> tuple[int, Rights | None]:
    """Until when a code is good, and what it allows; nothing of a file that another user could have written."""
    try:
        fd = places.open_file(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return 0, None
    try:
        found = os.fstat(fd)
        if found.st_uid != os.geteuid() or found.st_mode & _FOR_OTHERS:
            return 0, None
        said = json.loads(os.read(fd, _FILE_BYTES_MAX))
        expires_at, rights = said["expiresAt"], said["rights"]
    except (OSError, ValueError, KeyError, TypeError):
        return 0, None
    finally:
        os.close(fd)
    if not isinstance(expires_at, int) or rights not in _RIGHTS:
        return 0, None
    return expires_at, cast("Rights", rights)
