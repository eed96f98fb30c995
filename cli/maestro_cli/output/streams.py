"""Output: the two streams of a command.

Rule: standard output holds what was asked for (in `--json` mode nothing but JSON), standard error all else. A
write is finished when it is flushed, and a caller who must know that text got out learns it from here: what
can't be written raises, it never vanishes.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # `typing` costs more than this module
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, TextIO

    from maestro_schemas.errors import MaestroError


class StdoutClosed(Exception):  # noqa: N818 - an end like KeyboardInterrupt, not a fault
    """Whoever read standard output has gone; nothing is left to do but to leave quietly."""


def prepare() -> None:
    """Let no character that the terminal's encoding lacks end a command."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def say(text: str) -> None:
    """Write `text` and a newline to standard output, flushed. Raises StdoutClosed, or MaestroError when the
    output can't take it (a full disk behind a redirection)."""
    stream: TextIO | None = sys.stdout
    if stream is None:
        raise StdoutClosed
    try:
        stream.write(text + "\n")
        stream.flush()
    except BrokenPipeError:
        _abandon_stdout()
        raise StdoutClosed from None
    except OSError as error:
        import errno

        from maestro_schemas.errors import MaestroError

        _abandon_stdout()
        raise MaestroError(
            "STORAGE_FULL" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "INTERNAL",
            f"standard output can't be written: {error.strerror or error}",
            "Nothing that was not written out counts as delivered. Mend the output and run the command again.",
        ) from None


def say_json(document: Any) -> None:
    """Write one JSON value on one line to standard output, flushed. Raises as `say`."""
    say(json_line(document))


def json_line(document: Any) -> str:
    """One JSON value on one line; beyond ASCII only where the output's encoding is UTF-8."""
    from . import json_text

    encoding = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("-", "")
    return json_text.line(document, ascii_only=encoding != "utf8")


def note(text: str) -> None:
    """Write a line for the reader to standard error. A closed standard error is no reason to fail."""
    if sys.stderr is None:
        return
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        return


def complain(error: MaestroError, *, as_json: bool, extra: Mapping[str, Any] | None = None) -> None:
    """Tell an error: to standard error in words, and with `as_json` also as `{"error": {...}}` to standard output.

    `extra`: fields beside `error` in the object, such as the id of a message that was accepted all the same.
    """
    note(f"maestro: {error.message}")
    if error.hint:
        note(f"  next: {error.hint}")
    if as_json:
        say_json({**(extra or {}), "error": error.body()})


def stdout_is_gone() -> bool:
    """Whether the reader of standard output has closed its end, as far as the kernel tells without a write."""
    import select

    if sys.stdout is None:
        return True
    try:
        poller = select.poll()
        poller.register(sys.stdout.fileno(), 0)
        return any(events & (select.POLLERR | select.POLLNVAL) for _, events in poller.poll(0))
    except (OSError, ValueError):
        return False


def wants_colour(environ: Mapping[str, str]) -> bool:
    """Whether standard output is a terminal whose owner has not set NO_COLOR (https://no-color.org)."""
    return (
        sys.stdout is not None
        and sys.stdout.isatty()
        and not environ.get("NO_COLOR")
        and environ.get("TERM") != "dumb"
    )


def _abandon_stdout() -> None:
    # What is still buffered would be written at exit, fail again, and be told by the interpreter.
    try:
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, sys.stdout.fileno())
        os.close(sink)
    except (OSError, ValueError):
        return
