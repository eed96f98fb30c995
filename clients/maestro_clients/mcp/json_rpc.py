"""JSON-RPC: what an MCP client sends, and what it is answered.

Rule: sans-IO and without a state, so that stdio and HTTP share it. It decides everything but the calls of the tools,
which the driver carries out. Text that is no request of ours is answered by an error with a code, and never raises.
"""

from __future__ import annotations

from maestro_clients.texts import json_text
from maestro_schemas import __version__

from . import tool_table

TYPE_CHECKING = False  # `typing` costs more than this module
if TYPE_CHECKING:
    from typing import Any, Final

# The newest first. A client that asks for another one gets the newest, and decides whether it can go on.
VERSIONS: Final = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
# The longest request: a message of the largest size, with every character escaped, and room for the rest.
BYTES_MAX: Final = 1 << 20

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603

INSTRUCTIONS: Final = (
    "Maestro is durable mail between the coding agents on this machine and their person (`operator`). Write with "
    "`send`, answer with `reply`; `sessions` says who you are, and who is here. With Maestro's hooks, mail comes to "
    "you by itself: then call `inbox` only to wait for an answer."
)
_NAME_CHARS_MAX = 40


class Incoming:
    """One thing that a client has sent. Without `answer` and `call` there is nothing to answer."""

    def __init__(
        self,
        answer: dict[str, Any] | None = None,
        *,
        call: ToolCall | None = None,
        cancels: str | float | None = None,
        client: str | None = None,
    ) -> None:
        # The answer, where it is known already.
        self.answer = answer
        self.call = call
        # The id of the request that the client gives up.
        self.cancels = cancels
        # The client's name, from `initialize`: a token.
        self.client = client


class ToolCall:
    """A `tools/call` whose tool exists."""

    def __init__(self, request_id: str | float, tool: str, arguments: object) -> None:
        self.request_id = request_id
        self.tool = tool
        # As the client gave them; `tool_table.checked` judges them.
        self.arguments = arguments


def read(raw: bytes) -> Incoming:
    """What one line of text asks for."""
    try:
        # A byte that is no UTF-8 is no JSON.
        found = json_text.parsed(raw.decode().removeprefix("\ufeff"))
    except (ValueError, RecursionError):
        return Incoming(error(None, PARSE_ERROR, "this is no JSON: send one JSON-RPC 2.0 object in UTF-8"))
    return understood(found)


def understood(found: object) -> Incoming:
    """What a JSON value asks for."""
    if isinstance(found, list):
        return Incoming(error(None, INVALID_REQUEST, "this is a batch, and each request is sent by itself"))
    if not isinstance(found, dict) or found.get("jsonrpc") != "2.0":
        return Incoming(error(None, INVALID_REQUEST, 'this is no JSON-RPC 2.0 request: "jsonrpc" must be "2.0"'))
    method, parameters = found.get("method"), found.get("params")
    if method is None and ("result" in found or "error" in found):
        return Incoming()  # an answer, and this server asks nothing
    given = parameters if isinstance(parameters, dict) else {}
    if "id" not in found:
        return _notified(method, given)
    request_id = found["id"]
    if not _is_id(request_id):
        return Incoming(error(None, INVALID_REQUEST, "the id must be a string or a number"))
    if not isinstance(method, str):
        return Incoming(error(request_id, INVALID_REQUEST, "the method must be a string"))
    return _asked(request_id, method, given)


def result(request_id: str | float, content: dict[str, Any]) -> dict[str, Any]:
    """The answer to a request."""
    return {"jsonrpc": "2.0", "id": request_id, "result": content}


def error(request_id: str | float | None, code: int, message: str) -> dict[str, Any]:
    """The answer to a request that can't be carried out."""
    return {"jsonrpc": "2.0", "id": request_id, "error": {"code": code, "message": message}}


def encoded(answer: dict[str, Any]) -> bytes:
    """An answer as one line, in ASCII: what a client reads has no line end inside, in whatever encoding it reads."""
    return json_text.line(answer, ascii_only=True).encode()


def too_long() -> dict[str, Any]:
    """The answer to a request of more than BYTES_MAX bytes."""
    return error(None, INVALID_REQUEST, f"the request is longer than {BYTES_MAX:,} bytes, and was not read")


def client_name(value: object) -> str:
    """A client's name as a token for receipts; `unknown` for a name without a letter or digit."""
    text = value[:_NAME_CHARS_MAX] if isinstance(value, str) else ""
    kept = "".join(each for each in text if each.isascii() and (each.isalnum() or each in "-_."))
    return kept or "unknown"


def _asked(request_id: str | float, method: str, given: dict[str, Any]) -> Incoming:
    if method == "tools/call":
        name = given.get("name")
        if not isinstance(name, str) or name not in tool_table.TOOLS:
            message = f"there is no tool {str(name)[:60]!r}; the tools are {', '.join(tool_table.TOOLS)}"
            return Incoming(error(request_id, INVALID_PARAMS, message))
        return Incoming(call=ToolCall(request_id, name, given.get("arguments")))
    if method == "tools/list":
        return Incoming(result(request_id, {"tools": tool_table.listed()}))
    if method == "ping":
        return Incoming(result(request_id, {}))
    if method == "initialize":
        wanted, client = given.get("protocolVersion"), given.get("clientInfo")
        name = client.get("name") if isinstance(client, dict) else None
        return Incoming(result(request_id, _introduction(wanted)), client=client_name(name))
    return Incoming(error(request_id, METHOD_NOT_FOUND, f"this server has no method {method[:60]!r}"))


def _notified(method: object, given: dict[str, Any]) -> Incoming:
    if method == "notifications/cancelled" and _is_id(given.get("requestId")):
        return Incoming(cancels=given["requestId"])
    return Incoming()


def _introduction(wanted: object) -> dict[str, Any]:
    return {
        "protocolVersion": wanted if wanted in VERSIONS else VERSIONS[0],
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "maestro", "title": "Maestro mail", "version": __version__},
        "instructions": INSTRUCTIONS,
    }


def _is_id(value: object) -> bool:
    # 1e999 is infinite, and can't be written into an answer.
    return isinstance(value, str) or (type(value) in (int, float) and value - value == 0)  # type: ignore[operator]
