"""Responses: JSON, and one shape for every error.

Rule: an error is `{"error": true, "statusCode", "code", "message", "hint"?, "details"?, "limit"?, "actual"?,
"retryAfter"?}`, also where the framework raised it. Its hint is a step of an HTTP caller, never a command. No stack
trace and no path of this machine is ever in one.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from starlette.responses import Response

from maestro_gateway.http.error_docs import REMEDIES
from maestro_schemas.errors import MaestroError
from maestro_schemas.texts import json_bytes, next_steps

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

# Where the scope's `state` has the connection that a request came by.
CONNECTION: Final = "maestro.connection"

# Nothing from other hosts, because there may be no network; nothing inline; in no frame.
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# A header that the answer has already is left as it is.
ANSWER_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
)

_JSON = "application/json"
# Its details are a list, as Maestro's own clients read it: `[{"path", "message"}]`.
FAULTS: Final = "VALIDATION_ERROR"

# A broker that is away is back within this time as a rule.
_AWAY_RETRY_S = 1.0
# Errors whose texts name files and sockets of this machine.
_INTERNAL_CODES = frozenset(
    {"INTERNAL", "CORRUPT", "JOURNAL_FAILED", "DATA_DIR_UNUSABLE", "DATA_DIR_LOCKED", "NOT_PRIVATE"}
)


def answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON response; `body` is made of Structs and plain values."""
    return Response(json_bytes.encode(body), status, headers, media_type=_JSON)


def next_page(request: Request, name: str, cursor: object) -> dict[str, str]:
    """The header `Link` (RFC 8288) of a page that is not the last: the request's own address with the cursor of the
    next page under this name. No header where the cursor is None."""
    if cursor is None:
        return {}
    url = request.url.include_query_params(**{name: cursor})
    return {"Link": f'<{quote(url.path)}?{url.query}>; rel="next"'}


def nothing() -> Response:
    """204."""
    return Response(status_code=204)


def status_of(error: MaestroError) -> int:
    """HTTP's status number for an error."""
    # An unreachable broker is a service that is unavailable (503), and not a fault of this gateway (504).
    return 503 if error.kind == "unreachable" else error.status


def error_body(error: MaestroError) -> dict[str, Any]:
    """An error in the documented shape."""
    status = status_of(error)
    body = {"error": True, "statusCode": status, **error.body()}
    body.pop("httpHint", None)
    if hint := hint_of(error):
        body["hint"] = hint
    if error.kind == "unreachable":
        if error.code != "STOPPING":
            body["message"] = "the broker does not answer at the moment"
            body["hint"] = "Repeat the request in a moment; with the same id or Idempotency-Key that is safe."
        body["retryAfter"] = error.retry_after_s or _AWAY_RETRY_S
    elif error.code == FAULTS and error.details is not None:
        body["details"] = error.details["faults"]
    elif error.code in _INTERNAL_CODES:
        body["message"] = "the post office failed to do this"
        body["hint"] = "Its log on the machine where it runs says why."
        body.pop("details", None)
    return body


def faulty(path: str, message: str) -> MaestroError:
    """The error for a field that is missing or wrong, in the shape of the calls below /api/mail."""
    at = f"{path}: " if path else ""
    return MaestroError(
        FAULTS,
        f"{at}{message}",
        "/docs lists each call's fields and values.",
        details={"faults": [{"path": path, "message": message}]},
    )


def part_error(error: MaestroError) -> dict[str, Any]:
    """The error of one part of an answer that is a success, such as one of several receivers."""
    body = error.body()
    body.pop("httpHint", None)
    if hint := hint_of(error):
        body["hint"] = hint
    return body


def hint_of(error: MaestroError) -> str:
    """The next step of a caller that has only HTTP: what the error says for one. Else its hint, in which the step of
    this code (`REMEDIES`) replaces the sentences for a shell."""
    if error.http_hint:
        return error.http_hint
    kept = next_steps.adapted(error.hint, next_steps.SHELL, "").strip()
    if kept and error.retry_after_s is not None:
        # To wait is the step.
        return kept
    remedy = REMEDIES.get(error.code)
    step = remedy.step if remedy is not None else "/docs lists every error."
    return next_steps.adapted(error.hint, next_steps.SHELL, step)


def error_answer(error: MaestroError, headers: Mapping[str, str] | None = None) -> Response:
    """The response for an error, with `Retry-After` (whole seconds, RFC 9110 section 10.2.3) where waiting helps."""
    body = error_body(error)
    sent = dict(headers or {})
    if "retryAfter" in body:
        sent["Retry-After"] = str(max(1, math.ceil(body["retryAfter"])))
    if body["statusCode"] == 401:
        sent["WWW-Authenticate"] = "Bearer"
    return answer(body, body["statusCode"], sent)


def plain_error(status: int, code: str, message: str, hint: str) -> dict[str, Any]:
    """The shape for an error without a code of the post office: 405, 415, an unknown path."""
    return {"error": True, "statusCode": status, "code": code, "message": message, "hint": hint}
