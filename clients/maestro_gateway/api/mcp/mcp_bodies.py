"""MCP bodies: a JSON-RPC request of an MCP client, and its answer.

Rule: open, because a client may send more than this server reads. `maestro_clients.mcp` judges the method and its
parameters.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Struct

from maestro_gateway.api.bodies import described


class McpBody(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One JSON-RPC 2.0 request, notification or answer."""

    jsonrpc: Annotated[Literal["2.0"], described("The version of JSON-RPC.")]
    id: Annotated[str | int | None, described("The id of the request; a notification has none.", 1)] = None
    method: Annotated[
        str | None, described("`initialize`, `ping`, `tools/list`, `tools/call`, or a notification.", "tools/list")
    ] = None
    params: Annotated[dict[str, Any] | None, described("The parameters of the method.")] = None
    result: Annotated[Any, described("Of an answer, which this server does not need.")] = None
    error: Annotated[Any, described("Of an answer, which this server does not need.")] = None


class McpError(Struct, frozen=True, kw_only=True):
    """An error of JSON-RPC."""

    code: int
    message: str


class McpAnswer(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The answer to one JSON-RPC 2.0 request."""

    jsonrpc: Literal["2.0"]
    id: str | int | None
    result: dict[str, Any] | None = None
    error: McpError | None = None
