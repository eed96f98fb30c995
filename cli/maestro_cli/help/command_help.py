"""Command help: what `--help` after a command or a group prints, from the declarations of the commands.

Rule: two columns, wrapped to the terminal and never wider than 100; no boxes and no colour, because most readers are
agents, which pay for every character. It needs no parser: importing that costs 90 ms.
"""

from __future__ import annotations

import os
import typing
from importlib import import_module
from typing import Any, Literal

from maestro_cli import options
from maestro_cli.output.tables import WIDTH, terminal_width

from . import root_help
from .command_rows import GROUPS, CommandGroup, CommandRow, every_command
from .help_text import paragraphs, parted, rows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FunctionType

_FLAGS = ("--help", "-h")
_WIDTH_MAX = 100
_COMPATIBLE = "Compatible name"
_OPTIONS = "`--help` after a command shows its options."


def asked_for(tokens: Sequence[str], words: Sequence[str]) -> str | None:
    """What the help says that the tokens ask for; None where they ask for none, or for that of a command that is
    none. A group alone asks for its help. `words`: the tokens, each free text and its option as one
    (`fast_path.text_joined`)."""
    topic = root_help.text(list(tokens))
    path = None if topic is not None else _path(list(words))
    return topic if path is None else text(path)


def _path(words: list[str]) -> tuple[str, ...] | None:
    words = words[: words.index("--")] if "--" in words else words
    named = [word for word in words if word not in _FLAGS]
    asks = len(named) < len(words)
    plain = named[: next((place for place, word in enumerate(named) if word.startswith("-")), len(named))][:2]
    is_group = any(plain[:1] == [group.name] for group in GROUPS)
    if is_group and len(plain) == 1:
        return tuple(plain) if asks or len(named) == 1 else None
    path = tuple(plain if is_group else plain[:1])
    return path if asks and (not path or any(path == known for known, _ in every_command())) else None


def text(path: tuple[str, ...]) -> str:
    """The help of a group or a command, or of all."""
    if not path:
        return root_help.text(["--help"]) or ""
    width = min(terminal_width(os.environ) or int(_columns() or WIDTH), _WIDTH_MAX)
    for group in GROUPS:
        if path == (group.name,):
            return "\n".join(_of_group(group, width))
    [row] = [row for known, row in every_command() if known == path]
    return "\n".join(_of_command(path, row, width))


def _columns() -> str:
    """The width that the environment gives, also where standard output is no terminal."""
    given = os.environ.get("COLUMNS", "")
    return given if given.isascii() and given.isdecimal() and int(given) else ""


def _of_group(group: CommandGroup, width: int) -> list[str]:
    lines = [f"Usage: maestro {group.name} COMMAND", "", *paragraphs(group.about, width)]
    for title, is_compatible in (("Commands", False), ("Compatible names", True)):
        found = [
            (row.name, row.about) for row in group.commands if row.about.startswith(_COMPATIBLE) == is_compatible
        ]
        if found:
            lines += ["", f"{title}:", *rows(sorted(found), width)]
    return [*lines, "", *paragraphs(f"{_OPTIONS}\n\n{group.examples}", width)]


def _of_command(path: tuple[str, ...], row: CommandRow, width: int) -> list[str]:
    module = import_module(f"maestro_cli.commands.{row.module}")
    usage, details = getattr(module, "USAGE", ""), str(module.DETAILS)
    if row.same_as:
        # Its own help has its own name.
        renamed = (f"maestro {row.same_as}", f"maestro {' '.join(path)}")
        usage, details = usage.replace(*renamed), details.replace(*renamed)
    first, rest = parted(details)
    arguments = _arguments(module.run, options.declared(module))
    usage = usage or " ".join(["maestro", *path, *_usage(arguments)])
    lines = [f"Usage: {usage}", "", *paragraphs(row.about, width)]
    lines += ["", *first.split("\n")] if first else []
    for title, is_named in (("Arguments", False), ("Options", True)):
        found = [(each.label, each.about) for each in arguments if each.is_named == is_named]
        if found:
            lines += ["", f"{title}:", *rows(found, width)]
    return [*lines, "", *paragraphs(rest, width)] if rest else lines


class _Argument:
    def __init__(self, name: str, hint: Any, *, is_named: bool, is_required: bool, is_list: bool) -> None:
        kind, *more = typing.get_args(hint)
        [option] = [one for one in more if isinstance(one, options.Option)]
        kinds = (kind, *typing.get_args(kind))
        words = [typing.get_args(one) for one in kinds if typing.get_origin(one) is Literal]
        derived = f"--{name.replace('_', '-')}" if is_named else name.upper()
        spellings = [*(option.names or [derived]), *([option.negative] if option.negative else [])]
        value = option.metavar or ("CHOICE" if words else "INT" if int in kinds else "STR")
        # As the list of options has it.
        self.label = ", ".join(spellings) + (f" {value}" if is_named and bool not in kinds else "")
        choices = f" One of: {', '.join(words[0])}." if words else ""
        self.about = f"{option.help}{choices}{' Required.' if is_required else ''}"
        self.is_named = is_named
        self.is_required = is_required
        self.is_list = is_list
        # As the usage line has it.
        self.usage = f"{spellings[0]} {value}" if is_named else spellings[0]


def _arguments(run: FunctionType, declared: Sequence[tuple[str, Any]]) -> list[_Argument]:
    code, has_default = run.__code__, run.__kwdefaults__ or {}
    by_position = code.co_varnames[: code.co_argcount]
    required = by_position[: len(by_position) - len(run.__defaults__ or ())]
    by_name = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    return [
        _Argument(
            name,
            hint,
            is_named=name in by_name,
            is_required=name in required or (name in by_name and name not in has_default),
            is_list=name not in by_position and name not in by_name,
        )
        for name, hint in declared
    ]


def _usage(arguments: Sequence[_Argument]) -> list[str]:
    """Those that must be given, the options first."""
    words: list[str] = []
    for is_named, rest in ((True, "OPTIONS"), (False, "ARGS")):
        found = [each for each in arguments if each.is_named == is_named]
        words += [each.usage for each in found if each.is_required]
        if not all(each.is_required for each in found):
            words.append(f"[{rest}{'...' if any(each.is_list for each in found) else ''}]")
    return words
