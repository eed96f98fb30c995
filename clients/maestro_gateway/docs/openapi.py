"""OpenAPI: the description of every call, for programs.

Rule: made from the table of calls and the Structs, never written by hand, so that it describes exactly what is
served. An error status lists the codes that its call has at that status, and no others.
"""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from maestro_clients.mcp import json_rpc
from maestro_gateway.api import answers, bodies, group_bodies, page_login
from maestro_gateway.api.archive import archive_queries
from maestro_gateway.api.mcp import mcp_bodies
from maestro_gateway.api.older import mail_bodies
from maestro_gateway.http.error_docs import REMEDIES
from maestro_gateway.http.responses import FAULTS, answer, status_of
from maestro_gateway.http.routing import API_VERSION, MCP, OPERATIONS, PREFIXES, Endpoint
from maestro_schemas import __version__, messages, replies, sessions
from maestro_schemas.bodies import archive
from maestro_schemas.errors import CODES, MaestroError
from maestro_schemas.generators import json_schema
from maestro_schemas.names import ID_PATTERN

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.requests import Request
    from starlette.responses import Response

MEDIA_JSON = "application/json"
MEDIA_OCTETS = "application/octet-stream"

_VERSION = "3.1.0"
_TEMPLATE = "#/components/schemas/{name}"
_PATH_NAME = re.compile(r"\{(\w+)(?::\w+)?\}")
# Errors of every call that asks the broker, of those that may change something, with a body, with a query.
_ASKING = (
    "UNKNOWN_SESSION",
    "TOKEN_REQUIRED",
    "TOKEN_MISMATCH",
    "LOGIN_REQUIRED",
    "FORBIDDEN",
    "BROKER_UNREACHABLE",
    "TIMEOUT",
    "STOPPING",
)
_FAILING = ("INTERNAL", "CORRUPT")
_CHANGING = ("STORAGE_FULL", "VIEW_ONLY")
_WITH_BODY = ("BAD_REQUEST", "INVALID", "FRAME_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE")
_WITH_QUERY = ("INVALID",)
# Refusals of the guard, before any call begins.
_GUARDED = ("BAD_REQUEST", "HOST_REFUSED", "PEER_REFUSED", "HEAD_TOO_LARGE")
_GUARDED_CHANGING = ("ORIGIN_REFUSED",)
_GUARDED_BODY = ("REQUEST_TIMEOUT",)
# Errors without a code of the post office.
_HTTP_STATUS = {"NOT_FOUND": 404, "METHOD_NOT_ALLOWED": 405, "UNSUPPORTED_MEDIA_TYPE": 415}

_PATH: dict[str, tuple[str, dict[str, Any]]] = {
    "message": ("A message's id.", {"pattern": ID_PATTERN}),
    "name": ("A file's name in the message.", {"minLength": 1}),
    "sha256": ("A SHA-256 digest in hex.", {"pattern": "^[0-9a-f]{64}$"}),
    "group": ("A group's name, with or without `@`.", {"minLength": 1}),
    "session": (
        "A session's id, or a name that only one active session has; for a receiver also `parent`.",
        {"minLength": 1},
    ),
}
_HEADERS: dict[str, tuple[str, dict[str, Any]]] = {
    "X-Session-ID": (
        "The session that asks; empty counts as absent. `operator` is the person: for the gateway's own user.",
        {"pattern": ID_PATTERN.replace("{1,", "{0,")},
    ),
    "Idempotency-Key": (
        "A key of the sender's own that makes a repeat the same send, where the body has no id.",
        {"minLength": 1, "maxLength": 255},
    ),
    "MCP-Protocol-Version": ("The version that `initialize` has answered.", {"enum": list(json_rpc.VERSIONS)}),
    "Mcp-Session-Id": (
        "As `initialize` has answered it: receipts then name the client. Nothing else depends on it.",
        {},
    ),
    "Last-Event-ID": ("The id of the last event that the client has: later events are sent again.", {}),
}
_ANSWER_HEADERS = {
    "Link": 'The address of the next page, with `rel="next"`; absent on the last page.',
    "Location": "The path of what was made, if it has one.",
    "Idempotent-Replayed": "`true` where the same send was accepted before.",
    "Retry-After": "Seconds after which a repeat may succeed.",
    "WWW-Authenticate": "`Bearer`.",
}
_WIRE = (messages, replies, sessions, archive)
_STRUCTS: dict[str, type[Struct]] = {
    name: shape
    for module in (*_WIRE, bodies, group_bodies, mail_bodies, mcp_bodies, archive_queries, page_login, answers)
    for name, shape in vars(module).items()
    if isinstance(shape, type) and issubclass(shape, Struct)
}
_IDS = json_schema.IDS | {
    "Metadata.inReplyTo",
    "MetadataGiven.inReplyTo",
    "Metadata.threadId",
    "Gone.id",
    "StepDone.id",
    "SessionShown.id",
    "Letter.id",
    "LetterDeleted.id",
}


def document(table: Iterable[Endpoint]) -> dict[str, Any]:
    """The OpenAPI 3.1 document of the calls. A versioned call is listed under the first prefix alone."""
    calls = list(table)
    schemas, given = _schemas(calls)
    paths: dict[str, dict[str, Any]] = {}
    operations: list[tuple[Endpoint, dict[str, Any]]] = []
    for call in calls:
        path = _PATH_NAME.sub(r"{\1}", (PREFIXES[0] if call.versioned else "") + call.path)
        operation = paths.setdefault(path, {})[call.method.lower()] = _operation(call, given)
        operations.append((call, operation))
    _link(operations)
    return {
        "openapi": _VERSION,
        "info": {
            "title": "Maestro messaging",
            "version": API_VERSION,
            "x-product-version": __version__,
            "description": (
                "The post office of coding agents, over HTTP. The version is that of this interface: within "
                "`/api/v1` things are added, and nothing goes or changes its meaning. What is below `/api` is served "
                "below `/api/v1` too, in the same way. A client ignores fields that it does not know. An unknown "
                "path is 404 (`NOT_FOUND`), another method 405 (`METHOD_NOT_ALLOWED`, with `Allow`); every GET takes "
                "HEAD as well. Every error has the shape `HttpError`."
            ),
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(call.tag for call in calls)],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The token with which the session was started; a session without one needs none.",
                }
            },
        },
    }


async def serve(request: Request) -> Response:
    """The document."""
    return answer(request.app.state.gateway.contract)


def codes_of(call: Endpoint) -> dict[int, list[str]]:
    """Status -> the codes that the call may return, its own first."""
    codes = list(call.codes)
    if call.body is not None:
        codes += (*_WITH_BODY, *_GUARDED_BODY)
    if call.query is not None:
        codes += _WITH_QUERY
    if call.lists_faults:
        # INVALID is left: of the guard, and of the broker.
        codes.append(FAULTS)
    if call.tag != OPERATIONS:
        codes += _ASKING
        if call.method != "GET":
            codes += _CHANGING
        codes += _FAILING
    codes += _GUARDED
    if call.method != "GET" or call.changes:
        codes += _GUARDED_CHANGING
    found: dict[int, list[str]] = {}
    for code in dict.fromkeys(codes):
        found.setdefault(_status(code), []).append(code)
    return dict(sorted(found.items()))


def _status(code: str) -> int:
    return status_of(MaestroError(code, "")) if code in CODES else _HTTP_STATUS[code]


def _schemas(calls: list[Endpoint]) -> tuple[dict[str, Any], set[str]]:
    """All components, and the names of those that have another name in a request. In a request null means absent; in
    an answer a field is never null for that."""
    answered = [shape for call in calls for found in call.answers.values() for shape in _alternatives(found)]
    taken = [call.body for call in calls if call.body is not None]
    found = json_schema.definitions(
        (*answered, answers.HttpError, answers.FaultsError, replies.ErrorBody),
        template=_TEMPLATE,
        ids=_IDS,
        # A Struct that omits no field has null where it has no value.
        keeps_null=lambda name: name in _STRUCTS and not _STRUCTS[name].__struct_config__.omit_defaults,
        structs=_STRUCTS,
    )
    asked = json_schema.definitions(taken, template=_TEMPLATE, ids=_IDS, keeps_null=lambda _: True, structs=_STRUCTS)
    given = set(asked) & set(found)
    for name, schema in asked.items():
        found[_given(name, given)] = _renamed(schema, given)
    if "MetadataGiven" in found:
        # Listed, because a program may copy it from a message and send it back by mistake.
        found["MetadataGiven"]["properties"]["threadId"]["readOnly"] = True
    return found, given


def _given(name: str, given: set[str]) -> str:
    return f"{name}Given" if name in given else name


def _renamed(schema: Any, given: set[str]) -> Any:
    """The schema, with references to the components of requests."""
    if isinstance(schema, list):
        return [_renamed(part, given) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _renamed(part, given) for key, part in schema.items()}
    if isinstance(found.get("$ref"), str):
        found["$ref"] = _TEMPLATE.format(name=_given(found["$ref"].rpartition("/")[2], given))
    return found


def _alternatives(shape: Any) -> list[Any]:
    """The Structs of an answer; None and a string (another media type) have none."""
    found = shape if isinstance(shape, tuple) else (shape,)
    return [kind for kind in found if kind is not None and not isinstance(kind, str)]


def _operation(call: Endpoint, given: set[str]) -> dict[str, Any]:
    module = call.handle.__module__.rpartition(".")[2]
    found: dict[str, Any] = {
        "operationId": f"{module}_{call.handle.__name__}",
        "summary": call.summary,
        "description": inspect.getdoc(call.handle) or call.summary,
        "tags": [call.tag],
    }
    if call.deprecation is not None:
        since, until, successor = call.deprecation
        found["deprecated"] = True
        found["description"] += f" Deprecated since {since}, and served until {until} at least. Use `{successor}`."
    if parameters := [*_path_parameters(call), *_query_parameters(call), *_header_parameters(call)]:
        found["parameters"] = parameters
    if call.tag != OPERATIONS:
        found["security"] = [{}, {"token": []}]
    if call.body is not None:
        reference = {"$ref": _TEMPLATE.format(name=_given(call.body.__name__, given))}
        found["requestBody"] = {"required": True, "content": {MEDIA_JSON: {"schema": reference}}}
    if call.is_upload:
        found["requestBody"] = {"required": True, "content": {MEDIA_OCTETS: {}}}
    answers = {str(status): _answer(call, status, shape) for status, shape in call.answers.items()}
    errors = {str(status): _error(call, status, codes) for status, codes in codes_of(call).items()}
    found["responses"] = dict(sorted({**errors, **answers}.items()))
    return found


def _path_parameters(call: Endpoint) -> list[dict[str, Any]]:
    found = []
    for name in _PATH_NAME.findall(call.path):
        text, constraints = _PATH.get(name, (name, {}))
        schema = {"type": "string", **constraints}
        found.append({"name": name, "in": "path", "required": True, "description": text, "schema": schema})
    return found


def _query_parameters(call: Endpoint) -> list[dict[str, Any]]:
    if call.query is None:
        return []
    shape = json_schema.definitions([call.query], template=_TEMPLATE)[call.query.__name__]
    found = []
    for name, schema in shape["properties"].items():
        rest = dict(schema)
        text = rest.pop("description", "")
        required = name in shape.get("required", ())
        found.append({"name": name, "in": "query", "required": required, "description": text, "schema": rest})
    return found


def _header_parameters(call: Endpoint) -> list[dict[str, Any]]:
    if call.tag == OPERATIONS:
        return []
    found = []
    for name in dict.fromkeys(("X-Session-ID", *call.headers)):
        text, constraints = _HEADERS[name]
        if name == "X-Session-ID" and call.tag == MCP:
            # A tool says in words that it is no session's id: a model reads that, and no status of HTTP.
            constraints = {}
        found.append(
            {
                "name": name,
                "in": "header",
                "required": name == "X-Session-ID" and name in call.headers,
                "description": text,
                "schema": {"type": "string", **constraints},
            }
        )
    return found


def _answer(call: Endpoint, status: int, shape: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"description": call.summary}
    texts = [kind for kind in (shape if isinstance(shape, tuple) else (shape,)) if isinstance(kind, str)]
    if texts:
        found["content"] = {kind: {"schema": {"type": "string"}} for kind in texts}
    elif shape is not None:
        kinds = [_schema(kind) for kind in _alternatives(shape)]
        found["content"] = {MEDIA_JSON: {"schema": kinds[0] if len(kinds) == 1 else {"anyOf": kinds}}}
    names = ["Location"] if status == 201 else ["Link"] if call.is_paged else []
    if "Idempotency-Key" in call.headers:
        names.append("Idempotent-Replayed")
    if names:
        found["headers"] = _headers(names)
    return found


def _schema(shape: Any) -> dict[str, Any]:
    """A Struct, or a list of them."""
    inner = getattr(shape, "__args__", None)
    if inner is not None:
        return {"type": "array", "items": _schema(inner[0])}
    return {"$ref": _TEMPLATE.format(name=shape.__name__)}


def _error(call: Endpoint, status: int, codes: list[str]) -> dict[str, Any]:
    shape = answers.FaultsError if call.lists_faults and FAULTS in codes else answers.HttpError
    reference = {"$ref": _TEMPLATE.format(name=shape.__name__)}
    exact = {"properties": {"statusCode": {"const": status}, "code": {"enum": codes}}}
    found: dict[str, Any] = {
        "description": " ".join(f"{code}: {REMEDIES[code].when}" for code in codes),
        "content": {MEDIA_JSON: {"schema": {"allOf": [reference, exact]}}},
    }
    if status == 401:
        found["headers"] = _headers(["WWW-Authenticate"])
    elif status in (429, 503):
        found["headers"] = _headers(["Retry-After"])
    return found


def _link(calls: list[tuple[Endpoint, dict[str, Any]]]) -> None:
    """Link a call that makes a session, a message or a group to every call that takes its id or name in the path."""
    made = {
        answers.SessionShown: ("session", "id"),
        messages.Message: ("message", "id"),
        replies.SendResult: ("message", "id"),
        replies.GroupShown: ("group", "name"),
    }
    operations = [operation for _, operation in calls]
    for call, operation in calls:
        found = operation["responses"].get("201")
        names = [made[shape] for shape in _alternatives(call.answers.get(201)) if shape in made]
        if found is None or not names:
            continue
        found["links"] = {
            other["operationId"]: {
                "operationId": other["operationId"],
                "parameters": {name: f"$response.body#/{key}"},
            }
            for name, key in names
            for other in operations
            if any(part["in"] == "path" and part["name"] == name for part in other.get("parameters", ()))
        }


def _headers(names: list[str]) -> dict[str, Any]:
    return {name: {"description": _ANSWER_HEADERS[name], "schema": {"type": "string"}} for name in names}
