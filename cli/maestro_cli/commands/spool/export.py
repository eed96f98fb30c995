"""`maestro spool export`: all of the post office as JSON Lines.

Rule: a file is private (0600) and stands under its name only when it is whole; standard output gets it as it comes.
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
The first line is a header, the last one has counts of what is between: a file
without it was cut off. Each line has its `kind`: session, message, tombstone
(an id whose message is gone), outbox, event, quarantine, or unfiled (what a
broker that was killed had accepted and not yet made a file of). Tokens are
not in it.

Examples:
  maestro spool export --out mail.jsonl
  maestro spool export | gzip > mail.jsonl.gz
  maestro spool export --session sess_b"""


def run(
    *,
    out: Annotated[str | None, Option(metavar="PATH", help="A file; it must not exist. Default: print it.")] = None,
    session: Annotated[str | None, Option(metavar="ID", help="Only what this session received, sent or did.")] = None,
) -> int:
    """Write everything as JSON Lines."""
    import os
    import subprocess

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
    with spool_process.progress("export") as show:
        child = subprocess.Popen(words, stdout=target, stdin=subprocess.DEVNULL, pass_fds=(write_fd,))
        os.close(write_fd)
        _follow(read_fd, show)
        code = child.wait()
    if target is not None:
        os.fsync(target)
        os.close(target)
    if code:
        raise MaestroError("INTERNAL", f"the export ended early, with {code}", "What it said is above.")
    if out is not None:
        os.replace(f"{out}.part", out)
        streams.note(f"maestro: {out} has it all")
    return exit_codes.DONE


def _follow(read_fd: int, show: Callable[[str, int], None]) -> None:
    import json

    with open(read_fd, "rb") as told:
        for line in told:
            what: dict[str, Any] = json.loads(line)
            show("lines", what["looked"])
