"""Steps: what a tool asks of the process that runs it.

Rule: a tool is a generator of steps and does no I/O. Its driver, blocking or asynchronous, carries out each step and
sends its outcome back, or throws the step's MaestroError. A tool that is not finished may be closed at any step.
"""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` costs more than this module
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from typing import Any

    from maestro_clients.protocol.commands import Request
    from maestro_schemas.documents import MessageDoc, OutgoingDoc


class ToolResult:
    """What the model reads."""

    def __init__(self, text: str, *, is_error: bool = False) -> None:
        self.text = text
        self.is_error = is_error

    def content(self) -> dict[str, Any]:
        """The result of a `tools/call`."""
        # No structuredContent: clients show it to the model in place of the text, and it would have no fence.
        content: dict[str, Any] = {"content": [{"type": "text", "text": self.text}]}
        if self.is_error:
            content["isError"] = True
        return content


class Ask:
    """Send a request; the outcome is what its reply means."""

    def __init__(self, request: Request[Any]) -> None:
        self.request = request


class SendMail:
    """Send a message as durably as the process can; the outcome is the broker's result, or None where the message
    waits in the outbox."""

    def __init__(self, outgoing: OutgoingDoc) -> None:
        self.outgoing = outgoing


class AwaitMail:
    """Wait until the session may have mail that was not offered yet, but no longer than `within_s` since the first of
    these steps; the outcome is False where that time is over."""

    def __init__(self, within_s: float) -> None:
        self.within_s = within_s


class Locate:
    """Give the files of messages the paths by which the agent can open them."""

    def __init__(self, messages: Sequence[MessageDoc]) -> None:
        self.messages = messages


class Show:
    """Give the client this result now, before the tool has ended. Raises OSError where that fails."""

    def __init__(self, shown: ToolResult) -> None:
        self.shown = shown


if TYPE_CHECKING:
    Step = Ask | SendMail | AwaitMail | Locate | Show
    # It returns the result, or None after `Show`.
    Steps = Generator[Step, Any, ToolResult | None]


class RunningTool:
    """A tool's steps, for a driver. `step` is the one to carry out, None at the end; `result` is there then."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self.step: Step | None = None
        self.result: ToolResult | None = None
        self._advance(lambda: next(steps))

    def send(self, value: object) -> None:
        """Go on with the outcome of the step. Raises MaestroError where the tool fails."""
        self._advance(lambda: self._steps.send(value))

    def throw(self, error: Exception) -> None:
        """Go on with the error of the step. Raises it where the tool does not handle it."""
        self._advance(lambda: self._steps.throw(error))

    def close(self) -> None:
        """End the tool where it is. Can be repeated."""
        self._steps.close()
        self.step = None

    def _advance(self, go_on: Callable[[], Step]) -> None:
        try:
            self.step = go_on()
        except StopIteration as end:
            self.step, self.result = None, end.value
