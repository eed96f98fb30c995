"""Answers: JSON out, and one shape for every error.

Rule: an error is `{"error": true, "statusCode", "code", "message", "hint"?, "details"?, "limit"?, "actual"?,
"retryAfter"?}`, whoever raised it, the framework included; no stack trace and no path of ours is ever in one.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.responses import Response

from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from collections.abc import Mapping

_JSON = "application/json"
# What a client should wait for a broker that is away, in seconds: it is back within one as a rule.
_AWAY_RETRY_S = 1.0
# Their texts name files and sockets of this machine.
_OWN_AFFAIRS = frozenset({"INTERNAL", "CORRUPT", "JOURNAL_FAILED", "DATA_DIR_UNUSABLE", "DATA_DIR_LOCKED"})

_encode = msgspec.json.Encoder().encode


def answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer; `body` of Structs and plain values."""
    return Response(_encode(body), status, headers, media_type=_JSON)


def nothing() -> Response:
    """204."""
    return Response(status_code=204)


def status_of(error: MaestroError) -> int:
    """HTTP's status number for an error."""
    # An unreachable broker is a service that is unavailable (503), and not a fault of this gateway (504).
    return 503 if error.kind == "unreachable" else error.status


def error_body(error: MaestroError) -> dict[str, Any]:
    """The documented shape."""
    status = status_of(error)
    body = {"error": True, "statusCode": status, **error.body()}
    if error.kind == "unreachable":
        if error.code != "STOPPING":
            body["message"] = "the broker does not answer at the moment"
            body["hint"] = "Repeat the request in a moment; with the same id or Idempotency-Key that is safe."
        body["retryAfter"] = error.retry_after_s or _AWAY_RETRY_S
    elif error.code in _OWN_AFFAIRS:
        body["message"] = "the post office failed to do this"
        body["hint"] = "Its log on the machine where it runs says why."
        body.pop("details", None)
    return body


def error_answer(error: MaestroError, headers: Mapping[str, str] | None = None) -> Response:
    """The answer for an error, with `Retry-After` (whole seconds, RFC 9110 section 10.2.3) where waiting helps."""
    body = error_body(error)
    sent = dict(headers or {})
    if "retryAfter" in body:
        sent["Retry-After"] = str(max(1, math.ceil(body["retryAfter"])))
    if body["statusCode"] == 401:
        sent["WWW-Authenticate"] = "Bearer"
    return answer(body, body["statusCode"], sent)


def plain_error(status: int, code: str, message: str, hint: str) -> dict[str, Any]:
    """The shape for what has no code of the post office's own: 405, 415, a path that there is not."""
    return {"error": True, "statusCode": status, "code": code, "message": message, "hint": hint}
