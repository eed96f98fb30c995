"""Fast path: the arguments of a command, parsed from the generated table instead of by cyclopts.

Rule: it accepts only what is well formed, and then passes exactly what cyclopts would pass to the command's function;
a test compares both. Everything else (help, an unknown option, a missing value, a word that is not allowed) is None
here, and cyclopts answers it. Importing cyclopts costs 55 to 67 ms of every command; this module imports nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from .fast_table import Declared, Kind

QUICK_VARIABLE = "MAESTRO_QUICK"
# As in `output.usage_errors`: a longer number fits into no message of the protocol.
_NUMBER_DIGITS_MAX = 18


class _NotFast(Exception):  # noqa: N818 - not an error: cyclopts parses it
    pass


class ParsedCommand:
    """A command, and what its function gets."""

    def __init__(self, module: str, positional: list[Any], options: dict[str, Any]) -> None:
        # Its module in `commands`.
        self.module = module
        self.positional = positional
        self.options = options

    def run(self) -> int:
        """Run the command; returns its exit code."""
        module = __import__(f"maestro_cli.commands.{self.module}", fromlist=["run"])
        code: int = module.run(*self.positional, **self.options)
        return code


def is_on(environ: Mapping[str, str]) -> bool:
    """Whether the fast path may be used: unless MAESTRO_QUICK turns it off. Raises MaestroError BAD_SETTING."""
    if environ.get(QUICK_VARIABLE, "1") == "1":
        return True
    from maestro_schemas.limits import switch

    return switch(QUICK_VARIABLE, environ, default=True)


def parse(tokens: Sequence[str]) -> ParsedCommand | None:
    """The command that the tokens call, or None where cyclopts must parse them."""
    found = _named(tokens)
    if found is None:
        return None
    (module, positional, required, options), count = found
    try:
        by_position, by_name = _values(iter(tokens[count:]), options, takes_text=_takes_text(positional))
        by_position = [_value(kind, text) for kind, text in _places(positional, by_position)]
    except _NotFast:
        return None
    names = [name for name, _ in positional]
    if not all(name in by_name or name in names[: len(by_position)] for name in required):
        return None
    return ParsedCommand(module, by_position, by_name)


def text_joined(tokens: Sequence[str]) -> list[str]:
    """The tokens, each option of free text as one token with its value: cyclopts looks for `--help`, `--version` and
    `--` anywhere in the line before it binds values, and `--message --help` is a message. Where free text stands
    without an option too, it and what is beside it comes last, behind `--`."""
    found = _named(tokens)
    if found is None:
        return list(tokens)
    (_, positional, _, options), count = found
    takes_text = _takes_text(positional)
    joined, texts = list(tokens[:count]), ["--"]
    rest = iter(tokens[count:])
    for token in rest:
        if takes_text and token == texts[0]:
            texts += rest
        elif takes_text and _is_text(token, options):
            texts.append(token)
        else:
            kind = options.get(token, ("", "on"))[1]
            value = None if kind in ("on", "off") else next(rest, None)
            if kind == "any" and value is not None:
                joined.append(f"{token}={value}")
            else:
                joined += [token] if value is None else [token, value]
    return joined + texts if len(texts) > 1 else joined


def words(tokens: Sequence[str]) -> list[str]:
    """The texts without an option of a command that takes free text so."""
    joined = text_joined(tokens)
    return joined[joined.index("--") + 1 :] if "--" in joined else []


def _takes_text(positional: tuple[tuple[str, Kind], ...]) -> bool:
    return any(kind == "any" for _, kind in positional)


def _is_text(token: str, options: dict[str, tuple[str, Kind]]) -> bool:
    """Whether a token is free text: no option has a blank in it, and a list in Markdown begins with `- `."""
    if token[:1] != "-" or len(token) == 1:  # that one is standard input
        return True
    return token.partition("=")[0] not in options and len(token.split(None, 1)) > 1


def _named(tokens: Sequence[str]) -> tuple[Declared, int] | None:
    """The command that the first tokens name, and how many tokens that takes."""
    from .fast_table import COMMANDS

    for count in (2, 1):
        declared = COMMANDS.get(tuple(tokens[:count]))
        if declared is not None:
            return declared, count
    return None


def _values(
    rest: Iterator[str], options: dict[str, tuple[str, Kind]], *, takes_text: bool
) -> tuple[list[Any], dict[str, Any]]:
    """The texts without an option, and the values of the options by parameter. Raises _NotFast."""
    by_position: list[Any] = []
    by_name: dict[str, Any] = {}
    for token in rest:
        if token[:1] != "-" or (takes_text and _is_text(token, options)):
            by_position.append(token)
            continue
        spelling, equals, text = token.partition("=")
        if spelling not in options:
            raise _NotFast
        name, kind = options[spelling]
        if kind in ("on", "off"):
            if equals or name in by_name:
                raise _NotFast
            by_name[name] = kind == "on"
            continue
        if not equals:
            following = next(rest, None)
            if following is None or (following[:1] == "-" and kind != "any"):
                raise _NotFast
            text = following
        value = _value(kind, text)
        if kind == "list":
            by_name.setdefault(name, []).append(value)
        elif name in by_name:
            raise _NotFast
        else:
            by_name[name] = value
    return by_position, by_name


def _places(positional: tuple[tuple[str, Kind], ...], texts: list[str]) -> list[tuple[Kind, str]]:
    """Each text with the kind of its argument. Raises _NotFast where there are too many."""
    kinds = [kind for _, kind in positional]
    if kinds[-1:] == ["list"]:
        kinds += ["list"] * (len(texts) - len(kinds))
    if len(texts) > len(kinds):
        raise _NotFast
    return list(zip(kinds, texts, strict=False))


def _value(kind: Kind, text: str) -> Any:
    if isinstance(kind, range):
        # Not "007", which another reader may take for an octal number.
        if not (text.isascii() and text.isdecimal() and len(text) <= _NUMBER_DIGITS_MAX):
            raise _NotFast
        if text[0] == "0" and text != "0":
            raise _NotFast
        if int(text) not in kind:
            raise _NotFast
        return int(text)
    if isinstance(kind, tuple) and text not in kind:
        raise _NotFast
    return text
