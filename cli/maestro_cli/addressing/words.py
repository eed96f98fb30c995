"""Words: what `send` and `reply` make of arguments without an option, and of a text that is piped in.

Rule: a text that could be meant in two ways is refused with the command that says it in one, and nothing is sent.
Standard input is read only where no other text is given and it is a pipe or a file: an agent's shell often has one
that never ends.
"""

from __future__ import annotations

import os
import stat
import sys

from maestro_schemas.errors import MaestroError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from maestro_cli.context import CommandContext

_LISTED_MAX = 12
# A longer text is not repeated in a hint.
_QUOTED_CHARS_MAX = 200
# A shorter wait for a pipe is usual, and not worth a line.
_SILENT_MS = 2_000


def send_words(
    words: tuple[str | None, str | None], to: list[str] | None, message: str | None, file: str | None
) -> tuple[list[str] | None, str | None, str | None]:
    """The receivers, --message and --file, with what `[TO] [TEXT]` adds. Raises MaestroError INVALID."""
    first, second = words
    if to and second is not None:
        raise MaestroError(
            "INVALID",
            "--to names the receiver, so only the text can stand without an option",
            f"For one receiver: {send_form(first or 'bob')}. For several, each with its option: "
            f'maestro send --to {to[0]} --to {first} "..."',
        )
    text = first if to else second
    if text is not None and (message is not None or file is not None):
        option = "--message" if message is not None else "--file"
        raise MaestroError(
            "INVALID",
            f"a text was given, and {option} too; a message has one text",
            "Leave one of them off, and put a text of several words into quotes.",
        )
    receivers = to or ([first] if first is not None else None)
    if text == "-":
        return receivers, None, "-"
    return receivers, message if text is None else text, file


def piped_in(form: str) -> str:
    """The text that is piped in, without the newline that ends it. Raises MaestroError INVALID where there is none,
    and as `arguments.text_file`. `form`: the command with a text."""
    from maestro_cli.arguments import text_file

    text = ""
    if _is_piped():
        _note_silence()
        text = text_file("-").rstrip("\n")
    if not text:
        raise MaestroError("INVALID", "the text is missing", f"{form}, or pipe it in, or name a file: --file PATH.")
    return text


def no_receiver(context: CommandContext) -> MaestroError:
    """The error for a send without a receiver: it says who is here."""
    return MaestroError("INVALID", "the receiver is missing", f"{send_form()}. {who_is_here(context)}")


def send_form(to: str = "bob") -> str:
    """How a person sends."""
    return f'maestro send {to} "text"'


def quoted(text: str) -> str:
    """A text as a person puts it into quotes, for a command that can be copied."""
    import shlex

    shown = text if len(text) <= _QUOTED_CHARS_MAX else "..."
    is_plain = all(char.isprintable() and char not in '"$`\\!' for char in shown)
    return f'"{shown}"' if is_plain else shlex.quote(shown)


def who_is_here(context: CommandContext) -> str:
    """`Here: bob, lead, ann.`, the newest first, without the caller. It starts no broker, and fails never."""
    from maestro_clients.texts.fence import named

    unknown = "`maestro session list` shows who is here."
    try:
        client = context.as_operator().open_client() if context.own_session is None else context.open_client()
        if client is None:
            return unknown
        with client:
            found = client.session_page(active=True, limit=200)
    except MaestroError:
        return unknown
    others = [each for each in found["sessions"][::-1] if each["id"] != context.own_session]
    if not others and "next" not in found:
        return "No other session is here yet; `operator` is the person."
    names = list(dict.fromkeys(named(each.get("name", each["id"])) for each in others))
    more = len(names) > _LISTED_MAX or "next" in found
    return f"Here: {', '.join(names[:_LISTED_MAX])}{', and more: `maestro session list`' if more else ''}."


def _is_piped() -> bool:
    try:
        kind = os.fstat(sys.stdin.fileno()).st_mode
    except (AttributeError, OSError, ValueError):
        return False  # it is closed
    return stat.S_ISFIFO(kind) or stat.S_ISREG(kind)


def _note_silence() -> None:
    """Say what the command waits for, where nothing comes for a while."""
    import select

    poller = select.poll()
    poller.register(sys.stdin.fileno(), select.POLLIN)
    if not poller.poll(_SILENT_MS):
        from maestro_cli.output import streams

        streams.note("maestro: no text was given, so it is read from standard input")
