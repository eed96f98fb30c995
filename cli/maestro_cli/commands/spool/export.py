"""`maestro spool export`: everything as JSON Lines.

Rule: a file is private (0600) and gets its name only when it is complete; standard output gets the lines at once.
"""

from __future__ import annotations

from maestro_cli import exit_codes
from maestro_cli.context import CommandContext
from maestro_cli.output import streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Annotated, Any

    from maestro_cli.options import Option

DETAILS = """\
The first line is a header. The last line has the counts of the lines between: a
file without it is truncated. Each line has its `kind`: session, message,
tombstone (the id of a removed message), outbox, event, quarantine, or unfiled
(accepted by a broker that was killed before it wrote the message's file).
Tokens are not exported.

Examples:
  maestro spool export --out mail.jsonl
  maestro spool export | gzip > mail.jsonl.gz
  maestro spool export --session sess_b"""


def run(
    *,
    out: Annotated[str | None, Option(metavar="PATH", help="A file; it must not exist. Default: print it.")] = None,
    session: Annotated[str | None, Option(metavar="ID", help="Only this session's messages and events.")] = None,
    as_json: Annotated[
        bool, Option(name="--json", help='With --out, print {"path", "bytes"} as JSON. The lines are JSON anyway.')
    ] = False,
) -> int:
    """Write everything as JSON Lines."""
    import os

    from maestro_cli.output.progress import progress
    from maestro_cli.processes import spool_process
    from maestro_schemas.errors import MaestroError

    context = CommandContext.here()
    context.check_local("export")
    if not os.path.isdir(context.data):
        raise MaestroError(
            "DATA_DIR_UNUSABLE", f"there is no {context.data}", "The first command that needs it makes it."
        )
    if out is not None and os.path.exists(out):
        raise MaestroError("INVALID", f"{out} exists", "Give another name, or move it away.")
    spool_process.wait_until_written(context)
    read_fd, write_fd = os.pipe()
    words = spool_process.command("views", context, "export", "--progress-fd", str(write_fd))
    if session is not None:
        words += ["--session", session]
    target = None
    if out is not None:
        try:
            target = os.open(f"{out}.part", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise MaestroError("INVALID", f"{out} can't be written: {error}", "Give another place.") from None
    with progress("export") as show:
        child = spool_process.start(words, stdout=target, pass_fds=(write_fd,))
        os.close(write_fd)
        _follow(read_fd, show)
        code = child.wait()
    if target is not None:
        os.fsync(target)
        os.close(target)
    if code == exit_codes.PIPE_CLOSED:
        raise streams.StdoutClosed
    if code:
        raise MaestroError("INTERNAL", f"the export ended early, with {code}", "Its error is above.")
    if out is not None:
        os.replace(f"{out}.part", out)
        if as_json:
            streams.say_json({"path": os.path.abspath(out), "bytes": os.path.getsize(out)})
        else:
            streams.note(f"maestro: {out} is complete")
    return exit_codes.DONE


def _follow(read_fd: int, show: Callable[[str, int], None]) -> None:
    import json

    with open(read_fd, "rb") as lines:
        for line in lines:
            what: dict[str, Any] = json.loads(line)
            show("lines", what["looked"])
