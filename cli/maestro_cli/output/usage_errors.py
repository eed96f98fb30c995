"""Usage errors: what is wrong with an argument vector, in the words of this program.

Rule: the parser's own texts are for programmers ("requires an argument", "convert into int"). Each is an INVALID
error with the option as the user wrote it, what it takes, and the command's help as the next step.
"""

from __future__ import annotations

import shlex
import typing
from typing import TYPE_CHECKING

from cyclopts import (
    CoercionError,
    MissingArgumentError,
    RepeatArgumentError,
    UnknownOptionError,
    UnusedCliTokensError,
)

from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from cyclopts import CycloptsError, Token

_NUMBER_DIGITS_MAX = 18


# Commands that take a text without an option, and what stands before it.
_TEXTS = {
    "maestro send": "bob",
    "maestro session send": "bob",
    "maestro reply": "last",
    "maestro message reply": "last",
    "maestro mail reply": "last",
}


def explained(error: CycloptsError, tokens: Sequence[str] = ()) -> MaestroError:
    """The parser's error as ours. `tokens`: what was typed."""
    command = " ".join(["maestro", *(error.command_chain or ())])
    if isinstance(error, UnknownOptionError) and command == "maestro search":
        query = error.token.keyword or error.token.value
        return MaestroError(
            "INVALID",
            f"unknown option: {query}",
            f"{command} --help. A query that begins with `-` stands behind `--`: {command} -- {shlex.quote(query)}",
        )
    if command in _TEXTS:
        return MaestroError("INVALID", _what(error), _text_hint(error, command, tokens) or f"{command} --help")
    return MaestroError("INVALID", _what(error), f"{command} --help")


def _text_hint(error: CycloptsError, command: str, tokens: Sequence[str]) -> str:
    """The next step where a text of several words has no quotes, or looks like an option."""
    from maestro_cli import fast_path
    from maestro_cli.addressing.words import quoted, who_is_here
    from maestro_cli.context import CommandContext

    first = _TEXTS[command]
    if isinstance(error, UnusedCliTokensError):
        first, *rest = fast_path.words(tokens)
        several = f" For several receivers: {command} --to {first} --to {rest[0]} {quoted(' '.join(rest[1:]))}"
        form = f"A text of several words stands in quotes: {command} {first} {quoted(' '.join(rest))}."
        return form + (several + "." if command.endswith("send") else "")
    if isinstance(error, MissingArgumentError) and error.keyword in ("--to", "-t"):
        return f'{command} --to bob "text". {who_is_here(CommandContext.here())}'
    if isinstance(error, MissingArgumentError) and error.keyword is None:
        return f'{command} {first} "text"'
    if isinstance(error, UnknownOptionError):
        text = error.token.keyword or error.token.value
        return (
            f"{command} --help. A text that begins with `-` stands behind `--`: {command} {first} -- {quoted(text)}"
        )
    return ""


def whole_number(_kind: Any, tokens: Sequence[Token]) -> int:
    """The number of an option. Raises ValueError, which the parser reports, for all but digits: `1.5` and `1e2` are
    mistakes, and a rounded number would hide them."""
    [text] = [token.value for token in tokens]
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= _NUMBER_DIGITS_MAX):
        raise ValueError(text)
    return int(text)


def _what(error: CycloptsError) -> str:
    if isinstance(error, MissingArgumentError) and error.argument is not None:
        if error.keyword is not None:
            return f"{error.keyword} needs a value"
        return f"{error.argument.name} is missing"
    if isinstance(error, CoercionError) and error.token is not None and error.argument is not None:
        name = error.token.keyword or error.argument.name
        return f"{name} can't be {error.token.value[:80]!r}: it is {_allowed(error.argument.hint)}"
    if isinstance(error, RepeatArgumentError):
        return _repeated(error.token.keyword or "", error.root_input_tokens or ())
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        # The parser's own text for this error is the repr of a list.
        return f"unexpected argument: {' '.join(error.unused_tokens)}"
    text = str(error).strip()
    return text[:1].lower() + text[1:]


def _repeated(option: str, given: Sequence[str]) -> str:
    """Of an option that was given again, or with its opposite."""
    opposite = f"--{option[5:]}" if option.startswith("--no-") else f"--no-{option[2:]}"
    return f"{opposite} and {option} exclude each other" if opposite in given else f"{option} was given twice"


def _allowed(hint: Any) -> str:
    """What an option takes, from the type of its parameter."""
    kinds = [hint, *typing.get_args(hint)]
    for kind in kinds:
        if typing.get_origin(kind) is typing.Literal:
            return f"one of {', '.join(typing.get_args(kind))}"
    if int in kinds:
        return f"a whole number of at most {_NUMBER_DIGITS_MAX} digits"
    return "true or false" if bool in kinds else "a text"
