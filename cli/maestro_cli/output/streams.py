"""Output: the two streams of a command.

Rule: standard output holds the result (in `--json` mode nothing but JSON), standard error everything else. A write is
finished when it is flushed; text that can't be written raises an error, so that a caller knows what was shown.
"""

from __future__ import annotations

import os
import sys

from .marks import STYLE, dressed

TYPE_CHECKING = False  # `typing` costs more than this module
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, TextIO

    from maestro_schemas.errors import MaestroError


_RED = "31"
_DIM = "2"
# Puts the cursor to the top of a terminal, and clears what is below.
_CLEAR = "\x1b[H\x1b[J"


class StdoutClosed(Exception):  # noqa: N818 - an end like KeyboardInterrupt, not an error
    """The reader of standard output has closed it; the command ends without a message."""


def prepare() -> None:
    """Escape characters that the terminal's encoding lacks, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def say(text: str, *, done: str = "") -> None:
    """Write `text`, without what a reader can't see, and a newline to standard output, flushed. Raises StdoutClosed,
    or MaestroError when the output can't take it (a full disk behind a redirection).

    `done`: a sentence for what the command has done already and must not do twice. The error then says it, and is
    none that a script repeats.
    """
    stream: TextIO | None = sys.stdout
    if stream is None:
        raise StdoutClosed
    try:
        stream.write(_visible(text) + "\n")
        stream.flush()
    except BrokenPipeError:
        _abandon_stdout()
        raise StdoutClosed from None
    except OSError as error:
        import errno

        from maestro_schemas.errors import MaestroError

        _abandon_stdout()
        raise MaestroError(
            "STORAGE_FULL" if not done and error.errno in (errno.ENOSPC, errno.EDQUOT) else "INTERNAL",
            f"standard output can't be written: {error.strerror or error}",
            f"{done} Repair the output, and don't run the command again."
            if done
            else "Nothing that was not written out counts as delivered. Repair the output and run the command again.",
        ) from None


def tell(text: str, *, done: str = "") -> None:
    """As `say`, for sentences: on a terminal they are wrapped at words."""
    say(_fitted(text, sys.stdout), done=done)


def draw(lines: list[str]) -> None:
    """Write lines to a terminal, in place of what it shows. Raises as `say`."""
    if sys.stdout is not None:
        # It is written out together with the lines.
        sys.stdout.write(_CLEAR)
    say("\n".join(lines))


def say_json(document: Any, *, done: str = "") -> None:
    """Write one JSON value on one line to standard output, flushed. `done`, and what it raises: as `say`."""
    say(json_line(document), done=done)


def json_line(document: Any) -> str:
    """One JSON value on one line; beyond ASCII only where the output's encoding is UTF-8."""
    from maestro_clients.texts import json_text

    encoding = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("-", "")
    return json_text.line(document, ascii_only=encoding != "utf8")


def note(text: str) -> None:
    """Write lines for the reader to standard error, wrapped on a terminal. A closed standard error is no reason to
    fail."""
    if sys.stderr is None:
        return
    try:
        print(_visible(_fitted(text, sys.stderr)), file=sys.stderr, flush=True)
    except OSError:
        return


def complain(error: MaestroError, *, as_json: bool, extra: Mapping[str, Any] | None = None) -> None:
    """Report an error: to standard error in words, and with `as_json` also as `{"error": {...}}` to standard output.

    `extra`: fields beside `error` in the object, such as the id of a message that was accepted before the error.
    """
    note(f"{dressed('maestro:', _RED, sys.stderr)} {error.message}")
    body = error.body()
    if error.hint:
        body["hint"] = hint = step(error)
        note(f"  {dressed(f'next: {hint}', _DIM, sys.stderr)}")
    if as_json:
        say_json({**(extra or {}), "error": body})


def step(error: MaestroError) -> str:
    """The error's next step for who is at hand: a person, or an agent whose every command is a new shell."""
    from maestro_cli.context import CommandContext
    from maestro_schemas.texts import next_steps

    by_agent = CommandContext(os.environ, "", None, None).agent_sign() is not None
    return next_steps.of_agent(error) if by_agent else error.hint


def stdout_is_terminal() -> bool:
    """Whether a person looks at standard output."""
    return sys.stdout is not None and sys.stdout.isatty()


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


def _visible(text: str) -> str:
    """Without control characters and others that a reader can't see, but our own styles: the last guard, whatever a
    command has put together."""
    if text.isascii() and text.replace("\n", "").isprintable():
        return text
    from maestro_schemas.texts.visible_text import clean, is_visible

    if is_visible(text):
        return text
    first, *styled = text.split(STYLE)
    shown = [clean(first)]
    for part in styled:
        number, _, rest = part.partition("m")
        shown.append(f"\x1b[{number}m{clean(rest)}")
    return "".join(shown)


def _fitted(text: str, stream: TextIO | None) -> str:
    if stream is None or not stream.isatty():
        return text
    # Only a person pays for these.
    from .tables import terminal_width
    from .wrapping import fitted

    return "\n".join(fitted(text.split("\n"), terminal_width(os.environ, errors=stream is sys.stderr)))


def _abandon_stdout() -> None:
    # Buffered text would be written at exit and fail again, and the interpreter would report it.
    try:
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, sys.stdout.fileno())
        os.close(sink)
    except (OSError, ValueError):
        return
