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
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
)

from maestro_schemas.errors import MaestroError
from maestro_schemas.texts import near_words

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from cyclopts import CycloptsError, Token
    from cyclopts.argument import Argument

_NUMBER_DIGITS_MAX = 18
_PLACES_MAX = 3


class NumberIn:
    """The converter of an option whose value is a number. It raises ValueError, which the parser reports, for all but
    digits: `1.5` and `1e2` are mistakes, and a rounded number would hide them."""

    def __init__(self, numbers: range) -> None:
        self.numbers = numbers

    def __call__(self, _kind: Any, tokens: Sequence[Token]) -> int:
        [text] = [token.value for token in tokens]
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdecimal() and len(digits) <= _NUMBER_DIGITS_MAX):
            raise ValueError(text)
        if int(text) not in self.numbers:
            raise ValueError(text)
        return int(text)


# Commands that take a text without an option, and what stands before it.
_TEXTS = {
    "maestro send": "bob",
    "maestro session send": "bob",
    "maestro reply": "last",
    "maestro message reply": "last",
    "maestro mail reply": "last",
}


def explained(
    error: CycloptsError, tokens: Sequence[str] = (), commands: Sequence[tuple[str, ...]] = ()
) -> MaestroError:
    """The parser's error as ours. `tokens`: what was typed. `commands`: the words of every command."""
    command = " ".join(["maestro", *(error.command_chain or ())])
    text = _text_hint(error, command, tokens) if command in _TEXTS else ""
    hint = (
        f"{_guess(error, commands)}{text}"
        if text
        else f"{_guess(error, commands)}{command} --help{_more(error, command)}"
    )
    return MaestroError("INVALID", _what(error), hint)


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


def _what(error: CycloptsError) -> str:
    if isinstance(error, MissingArgumentError) and error.argument is not None:
        if error.keyword is not None:
            return f"{error.keyword} needs a value"
        return f"{error.argument.name} is missing"
    if isinstance(error, CoercionError) and error.token is not None and error.argument is not None:
        return _refused(error.token.keyword or error.argument.name, error.token.value, error.argument)
    if isinstance(error, RepeatArgumentError):
        return _repeated(error.token.keyword or "", error.root_input_tokens or ())
    if isinstance(error, UnknownOptionError):
        return f"unknown option: {error.token.keyword or error.token.value}"
    if isinstance(error, UnknownCommandError) and error.unused_tokens:
        return f"unknown command: {error.unused_tokens[0]}"
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        # The parser's own text for this error is the repr of a list.
        return f"unexpected argument: {' '.join(error.unused_tokens)}"
    text = str(error).strip()
    return text[:1].lower() + text[1:]


def _guess(error: CycloptsError, commands: Sequence[tuple[str, ...]]) -> str:
    """What was probably meant, as a sentence; empty if nothing is near."""
    if isinstance(error, UnknownOptionError):
        names = (name for argument in error.argument_collection if argument.parse for name in argument.names)
        return near_words.guess(error.token.keyword or error.token.value, names)
    if isinstance(error, UnknownCommandError) and error.unused_tokens:
        return _command_guess(error.unused_tokens[0], tuple(error.command_chain or ()), commands)
    if isinstance(error, CoercionError) and error.token is not None and error.argument is not None:
        return near_words.guess(error.token.value, _words(error.argument.hint))
    return ""


def _command_guess(word: str, above: tuple[str, ...], commands: Sequence[tuple[str, ...]]) -> str:
    """What people mean by the word, a command of that name in another place, or one beside it that is spelled
    alike."""
    from maestro_cli.addressing.intents import INTENTS

    meant = INTENTS.get(" ".join([*above, word]).lower())
    if meant is not None:
        return f"Did you mean {' or '.join(f'`maestro {command}`' for command in meant)}? "
    elsewhere = [" ".join(path) for path in commands if path[-1] == word]
    if elsewhere:
        return f"Did you mean {' or '.join(f'`maestro {path}`' for path in elsewhere[:_PLACES_MAX])}? "
    beside = (path[len(above)] for path in commands if path[: len(above)] == above)
    return near_words.guess(word, beside, form=f"`{' '.join(['maestro', *above])} {{}}`")


def _more(error: CycloptsError, command: str) -> str:
    """How a value is written that the parser takes for an option."""
    given = list(error.root_input_tokens or ())
    if isinstance(error, UnknownOptionError) and command == "maestro search":
        query = error.token.keyword or error.token.value
        return f". A query that begins with `-` stands behind `--`: {command} -- {shlex.quote(query)}"
    if isinstance(error, MissingArgumentError) and error.keyword in given[:-1]:
        value = given[given.index(error.keyword) + 1]
        if value.startswith("-") and not value.startswith("--"):
            joined = shlex.quote(f"{error.keyword}={value[:80]}")
            return f". A value that begins with `-` is joined to its option: {joined}"
    return ""


def _repeated(option: str, given: Sequence[str]) -> str:
    """Of an option that was given again, or with its opposite."""
    opposite = f"--{option[5:]}" if option.startswith("--no-") else f"--no-{option[2:]}"
    return f"{opposite} and {option} exclude each other" if opposite in given else f"{option} was given twice"


def _refused(name: str, value: str, argument: Argument) -> str:
    """A value that an option does not take, and what it takes."""
    converter = argument.parameter.converter
    if isinstance(converter, NumberIn):
        span = f"{converter.numbers[0]:,} to {converter.numbers[-1]:,}"
        digits = value.removeprefix("-")
        if digits.isascii() and digits.isdecimal():
            return f"{name} must be {span}, not {value[:80]}"
        return f"{name} can't be {value[:80]!r}: it is a whole number, {span}"
    words = _words(argument.hint)
    kinds = [argument.hint, *typing.get_args(argument.hint)]
    allowed = f"one of {', '.join(words)}" if words else "true or false" if bool in kinds else "a text"
    return f"{name} can't be {value[:80]!r}: it is {allowed}"


def _words(hint: Any) -> tuple[str, ...]:
    """The words that an option takes, from the type of its parameter; none where it takes others."""
    for kind in (hint, *typing.get_args(hint)):
        if typing.get_origin(kind) is typing.Literal:
            return typing.get_args(kind)
    return ()
