"""Tool run: carries out the steps of one call of a tool.

Rule: a connection of its own for each call, over the fast path where that is possible. A wait for mail looks for the
mailbox's `.pending` file, which the broker makes for hooks; it asks the broker only when that is there.
"""

from __future__ import annotations

import os
import time

from maestro_cli.context import now_ms
from maestro_clients.mcp import tool_texts, tools
from maestro_clients.mcp.steps import Ask, AwaitMail, Locate, SendMail
from maestro_runtime import paths
from maestro_schemas.errors import MaestroError

TYPE_CHECKING = False  # `typing` costs more than this module
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from maestro_cli.context import CommandContext
    from maestro_clients.mcp.json_rpc import ToolCall
    from maestro_clients.mcp.steps import Step, ToolResult
    from maestro_clients.one_shot_client import AnyClient

    from .agent_identity import AgentIdentity
    from .running_call import RunningCall

_LOOK_EVERY_S = 0.1
# The broker is asked again no sooner: another reader may lease the mail that the file is for. A broker of another
# machine has no file here, and is asked in these intervals.
_ASK_EVERY_S = 1.0


class GivenUp(Exception):  # noqa: N818 - an end, and no error
    """The client does not wait for this call any more."""


class ToolRun:
    """One call. `show`: writes a result to the client before the tool has ended; raises OSError."""

    def __init__(
        self, identity: AgentIdentity, client_name: str, running: RunningCall, show: Callable[[dict[str, Any]], None]
    ) -> None:
        self._identity = identity
        self._client_name = client_name
        self._running = running
        self._show = show
        self._client: AnyClient | None = None
        self._wait_until_s: float | None = None
        self._asked_at_s = 0.0

    def outcome(self, call: ToolCall) -> ToolResult | None:
        """The result; None where it was shown already, or the call was given up."""
        try:
            return self._finished(call)
        except GivenUp:
            return None
        except MaestroError as error:
            return tool_texts.failed(error)
        except Exception as error:  # noqa: BLE001 - a thread begins here, and its client waits for an answer
            from maestro_cli import crash_log

            return tool_texts.failed(crash_log.record(error))
        finally:
            self._disconnect()

    def _finished(self, call: ToolCall) -> ToolResult | None:
        own = self._identity.context(self._client_name)
        caller = tools.ToolCaller(own.session(), f"mcp:{self._client_name}", now_ms)
        tool = tools.begun(caller, call.tool, call.arguments)
        while tool.step is not None:
            try:
                value = self._done(own, tool.step)
            except (MaestroError, OSError) as error:
                tool.throw(error)
            else:
                tool.send(value)
        return tool.result

    def _done(self, own: CommandContext, step: Step) -> Any:
        """The outcome of a step. Raises MaestroError; OSError where the client does not take what it is shown."""
        if isinstance(step, Ask):
            return self._connected(own).request(step.request)
        if isinstance(step, SendMail):
            from maestro_cli.sending import send_flow

            result, _queued = send_flow.handed_over(own, step.outgoing, self._connected_if_running(own))
            return result
        if isinstance(step, AwaitMail):
            return self._awaits(own, step.within_s)
        if isinstance(step, Locate):
            return own.locate(step.messages, self._connected(own))
        return self._show(step.shown.content())

    def _awaits(self, own: CommandContext, within_s: float) -> bool:
        # The broker may be another one afterwards.
        self._disconnect()
        now_s = time.monotonic()
        if self._wait_until_s is None:
            self._wait_until_s = now_s + within_s
        marker = os.path.join(paths.receiver_dir(own.data, own.session()), ".pending")
        while now_s < self._wait_until_s:
            if now_s - self._asked_at_s >= _ASK_EVERY_S and (own.is_remote or os.path.lexists(marker)):
                self._asked_at_s = now_s
                return True
            if not self._running.pause(min(_LOOK_EVERY_S, self._wait_until_s - now_s)):
                raise GivenUp
            now_s = time.monotonic()
        return False

    def _connected(self, own: CommandContext) -> AnyClient:
        if self._client is None:
            self._client = own.client()
        return self._client

    def _connected_if_running(self, own: CommandContext) -> AnyClient | None:
        """The connection, where the fast path has one: a durable send starts the broker by itself."""
        if self._client is None:
            self._client = own.one_shot()
        return self._client

    def _disconnect(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None
