"""`maestro mcp`: an MCP server with the tools `send`, `inbox`, `sessions`, `receipt` and `reply`.

Rule: an agent starts it, and it speaks for that agent's session alone.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from maestro_cli.options import Option

DETAILS = """\
It reads and writes the Model Context Protocol on standard input and output, so
an agent starts it, and not a person. `maestro hooks install AGENT --mcp` writes
the agent's configuration. The tools speak for the session of the agent: that of
its shell, or the one that its hooks made.

Mail comes into an agent's context by its hooks. The tools are for an agent that
has none, or that wants to write without a shell.

Examples:
  maestro mcp
  maestro hooks install codex --mcp
  claude mcp add maestro --scope user -- maestro mcp"""


def run(
    *,
    data: Annotated[
        str | None,
        Option(metavar="DIRECTORY", help="The data directory, where MAESTRO_DATA_DIR does not name one."),
    ] = None,
) -> int:
    """Serve an agent over standard input and output."""
    import os

    from maestro_cli.mcp.stdio_server import StdioServer
    from maestro_cli.output import streams
    from maestro_runtime import paths

    if data is not None and not os.environ.get(paths.DATA_DIR_VARIABLE):
        # A broker that is started from here serves the same directory.
        os.environ[paths.DATA_DIR_VARIABLE] = data
    if os.isatty(0):
        streams.note("maestro: this is a server for an agent, which writes JSON-RPC to it; Ctrl-D ends it")
        streams.note("  next: maestro hooks install AGENT --mcp")
    return StdioServer(paths.data_dir(os.environ)).serve()
