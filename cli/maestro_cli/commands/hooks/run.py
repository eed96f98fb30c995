"""`maestro hooks run`: what an agent calls.

Rule: this is its help only. `main` answers the call itself before any parser is imported, because agents wait for it.
"""

from __future__ import annotations

from maestro_cli.hooks import invocation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from maestro_cli.options import Option

USAGE = "maestro hooks run AGENT EVENT [OPTIONS]"
DETAILS = """\
It reads the agent's JSON from standard input and answers in the agent's form,
or not at all. Its exit code is always 0, because agents take others for an
order to stop; what went wrong is in logs/hooks.log in the data directory.

Examples:
  maestro hooks run claude-code UserPromptSubmit < input.json
  maestro hooks run gemini-cli AfterTool < input.json"""


def run(
    agent: Annotated[str, Option(name="AGENT", help="claude-code, codex or gemini-cli.")],
    event: Annotated[str, Option(name="EVENT", help="The agent's own name of the event.")],
    /,
    *,
    agent_pid: Annotated[
        int, Option(name="--agent-pid", metavar="PID", help="The agent's process, by which it is known again.")
    ] = 0,
) -> int:
    """Answer one call of a hook."""
    invocation.run([agent, event, "--agent-pid", str(agent_pid)])
    return 0
