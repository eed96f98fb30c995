"""`maestro hooks run`: the command that an agent's hook calls.

Rule: this module only has the help. `main` answers a call before it imports a parser, because the agent waits.
"""

from __future__ import annotations

from maestro_cli.hooks import invocation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from maestro_cli.options import PIDS, Option

USAGE = "maestro hooks run AGENT EVENT [OPTIONS]"
DETAILS = """\
It reads the agent's JSON from standard input. It prints an answer in the
agent's format, or nothing. Its exit code is always 0, because agents read other
codes as an order to stop. Errors are in logs/hooks.log in the data directory.

Examples:
  maestro hooks run claude-code UserPromptSubmit < input.json
  maestro hooks run gemini-cli AfterTool < input.json"""


def run(
    agent: Annotated[str, Option(name="AGENT", help="The agent that calls, such as claude-code.")],
    event: Annotated[str, Option(name="EVENT", help="The agent's own name of the event.")],
    /,
    *,
    agent_pid: Annotated[
        int,
        Option(numbers=PIDS, name="--agent-pid", metavar="PID", help="The agent's process, which identifies it."),
    ] = 0,
    after_end: Annotated[bool, Option(help="The session's last sign was its end; start it again.")] = False,
    wake: Annotated[
        bool | None,
        Option(name="--wake", negative="--no-wake", help="Whether the hooks were installed to wake the agent."),
    ] = None,
) -> int:
    """Answer one call of a hook."""
    said = ["--after-end"] if after_end else []
    if wake is not None:
        said.append("--wake" if wake else "--no-wake")
    invocation.run([agent, event, "--agent-pid", str(agent_pid), *said])
    return 0
