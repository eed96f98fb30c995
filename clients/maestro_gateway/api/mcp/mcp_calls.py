"""MCP over HTTP: the tools of `maestro mcp` at `/mcp`, without a process for each agent.

Rule: one request is one JSON-RPC object and gets one JSON answer; no stream is opened, and nothing is remembered
between two requests. `X-Session-ID` and the bearer token say for whom the tools act; without them a tool says what is
missing, and never acts as the operator.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from maestro_clients.mailbox import received_files
from maestro_clients.mcp import json_rpc, tool_texts, tools
from maestro_clients.mcp.steps import Ask, AwaitMail, Locate, SendMail, Show, ToolResult
from maestro_clients.protocol.new_ids import new_session_id
from maestro_gateway.http.after_send import NotifyingResponse
from maestro_gateway.http.credentials import needs_token
from maestro_gateway.http.identity import caller_of
from maestro_gateway.http.responses import answer, error_body
from maestro_schemas.errors import MaestroError
from maestro_schemas.names import OPERATOR, is_id

if TYPE_CHECKING:
    import asyncio

    from starlette.requests import Request

    from maestro_clients.mcp.json_rpc import ToolCall
    from maestro_clients.mcp.steps import RunningTool, Step
    from maestro_clients.protocol.callers import Caller
    from maestro_gateway.context import GatewayContext
    from maestro_gateway.events.tool_calls import Key
    from maestro_schemas.documents import MessageDoc

    from .mcp_bodies import McpBody

_SESSION_HEADER = "mcp-session-id"
_VERSION_HEADER = "mcp-protocol-version"
_LOOK_EVERY_S = 0.5


async def serve(request: Request, *, body: McpBody) -> Response:
    """The answer to one JSON-RPC request; 202 for a notification. A tool's own error is a result with `isError`. The
    tools act for the session of X-Session-ID, with its token as `Authorization: Bearer`."""
    version = request.headers.get(_VERSION_HEADER)
    if version is not None and version not in json_rpc.VERSIONS:
        raise MaestroError(
            "BAD_REQUEST",
            f"the version {version[:40]!r} of MCP is not known here",
            f"Send MCP-Protocol-Version as `initialize` has answered it: one of {', '.join(json_rpc.VERSIONS)}.",
        )
    found = {name: value for name in body.__struct_fields__ if (value := getattr(body, name)) is not None}
    incoming = json_rpc.understood(found)
    gateway: GatewayContext = request.app.state.gateway
    if incoming.cancels is not None:
        gateway.tool_calls.give_up(_key(request, incoming.cancels))
    if incoming.call is not None:
        return await _ToolRun(request, incoming.call).response()
    if incoming.answer is None:
        return Response(status_code=202)
    # The client sends it with each later request, which names it so.
    named = {} if incoming.client is None else {"Mcp-Session-Id": f"{incoming.client}.{os.urandom(16).hex()}"}
    return answer(incoming.answer, headers=named)


def _key(request: Request, request_id: str | float) -> Key:
    caller = caller_of(request)
    return caller.session, caller.token, request.headers.get(_SESSION_HEADER, ""), request_id


def _client(request: Request) -> str:
    """The client's name, from the id that `initialize` has given it."""
    name, dot, _ = request.headers.get(_SESSION_HEADER, "").rpartition(".")
    return json_rpc.client_name(name) if dot else "http"


class _ToolRun:
    """One call of a tool."""

    def __init__(self, request: Request, call: ToolCall) -> None:
        self._request = request
        self._call = call
        self._gateway: GatewayContext = request.app.state.gateway
        self._caller = caller_of(request)
        self._wait_until_s: float | None = None
        self._key = _key(request, call.request_id)
        self._given_up: asyncio.Event = self._gateway.tool_calls.begin(self._key)

    async def response(self) -> Response:
        """The response with the result, and what follows once the client has it."""
        try:
            tool = tools.begun(_speaker(self._request, self._caller), self._call.tool, self._call.arguments)
            while tool.step is not None and not isinstance(tool.step, Show):
                await self._go_on(tool, tool.step)
                if self._given_up.is_set():
                    return Response(status_code=202)  # the client waits for no answer
        except MaestroError as error:
            self._gateway.broker.search_after(error)
            # Without the paths of this machine, as every error over HTTP.
            said = error_body(error)
            plain = MaestroError(error.code, said["message"], said.get("hint", ""), retry_after_s=error.retry_after_s)
            return self._answer(tool_texts.failed(plain))
        finally:
            self._gateway.tool_calls.end(self._key, self._given_up)
        if isinstance(tool.step, Show):
            return NotifyingResponse(self._answer(tool.step.shown), then=lambda: self._after(tool))
        return self._answer(tool.result or ToolResult("Done."))

    def _answer(self, result: ToolResult) -> Response:
        return answer(json_rpc.result(self._call.request_id, result.content()))

    async def _after(self, tool: RunningTool) -> None:
        """Finish the tool once the client has what it was shown."""
        with contextlib.suppress(MaestroError):
            tool.send(None)
            while tool.step is not None:
                await self._go_on(tool, tool.step)

    async def _go_on(self, tool: RunningTool, step: Step) -> None:
        try:
            value = await self._done(step)
        except MaestroError as error:
            tool.throw(error)
        else:
            tool.send(value)

    async def _done(self, step: Step) -> Any:
        client = self._gateway.broker.client
        if isinstance(step, Ask):
            command, body, read, _ = step.request
            return await client.request((command, body, read, self._caller))
        if isinstance(step, SendMail):
            [result] = await client.send_many([step.outgoing], caller=self._caller)
            if "error" in result:
                raise MaestroError.from_body(result["error"])
            return result
        if isinstance(step, Locate):
            # A path of this machine, for an agent of this machine and user alone; nothing is fetched.
            if not needs_token(self._request):
                received_files.locate(step.messages, self._gateway.options.data, None)
            return None
        assert isinstance(step, AwaitMail)  # noqa: S101 - `Show` is not carried out here
        return await self._await_mail(step.within_s)

    async def _await_mail(self, within_s: float) -> bool:
        if self._wait_until_s is None:
            self._wait_until_s = time.monotonic() + within_s
        client, reader = self._gateway.broker.client, new_session_id()

        async def look() -> list[MessageDoc]:
            # What another reader leases at this moment is left out; this lease is over before the tool looks.
            page = await client.inbox(status=["pending"], limit=1, lease_ms=1, reader=reader, caller=self._caller)
            return page["messages"]

        async def has_gone() -> bool:
            if await self._request.is_disconnected():
                self._given_up.set()
            return self._given_up.is_set()

        left_ms = max(int((self._wait_until_s - time.monotonic()) * 1000), 0)
        session = self._caller.session or ""
        waits, feed = self._gateway.waits, self._gateway.feed
        return bool(await waits.until_mail(feed, session, look, wait_ms=left_ms, has_gone=has_gone))


def _speaker(request: Request, caller: Caller) -> tools.ToolCaller:
    """Raises MaestroError NO_SESSION where the headers name no session of an agent."""
    headers = (
        "The user configures the headers `X-Session-ID` and `Authorization: Bearer` of this server with the id and "
        "the token of your session, and starts you from a shell that has both."
    )
    if caller.session == OPERATOR:
        raise MaestroError("NO_SESSION", "X-Session-ID names `operator`, and only a person is that", headers)
    if caller.session is None or not is_id(caller.session):
        raise MaestroError("NO_SESSION", "this request names no session: X-Session-ID has no session's id", headers)
    return tools.ToolCaller(caller.session, f"mcp:{_client(request)}", lambda: time.time_ns() // 1_000_000)
