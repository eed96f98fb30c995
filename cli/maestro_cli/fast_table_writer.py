"""Fast table writer: makes `fast_table.py` from the declarations of the commands.

Rule: run by `just schemas`; a test compares the checked-in module with `text()`. What cyclopts derives (the names of
options, the position of arguments) is read from cyclopts, so that both parsers have one source.
"""

from __future__ import annotations

import os
import types
from importlib import import_module
from inspect import Parameter, signature
from typing import Any, Literal, Union, get_args, get_origin

from . import options
from .help.command_rows import every_command
from .options import Option

PATH = os.path.join(os.path.dirname(__file__), "fast_table.py")

_HEADER = '''\
"""Fast table: the arguments of every command, for the fast path.

Rule: generated from the declarations of the commands by `just schemas`; never edited.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    # What a value is: `on` and `off` (switches), `text`, `any` (text that may begin with a hyphen), `list` (may be
    # repeated), or the words or the numbers that are allowed.
    Kind = str | tuple[str, ...] | range
    # The module in `commands`; the positional arguments; the parameters that must be given; the options by spelling,
    # each with its parameter.
    Declared = tuple[str, tuple[tuple[str, Kind], ...], tuple[str, ...], dict[str, tuple[str, Kind]]]

# fmt: off
'''


def text() -> str:
    """The source of the module."""
    lines = ["COMMANDS: dict[tuple[str, ...], Declared] = {"]
    for path, row in every_command():
        # Agents' hooks have an entry of their own, which answers in every case.
        if path != ("hooks", "run"):
            lines += [f"    {_quoted(path)}: (", f"        {_quoted(row.module)},", *_arguments(row.module), "    ),"]
    return _HEADER + "\n".join([*lines, "}", ""])


def _arguments(module_name: str) -> list[str]:
    """The positional arguments, the required parameters and the options of a command."""
    module = import_module(f"maestro_cli.commands.{module_name}")
    arguments = signature(module.run).parameters
    positional: list[tuple[str, str | tuple[str, ...]]] = []
    by_name: dict[str, tuple[str, Any]] = {}
    required: list[str] = []
    for name, hint in options.declared(module):
        kind, option = _kind(hint)
        argument = arguments[name]
        if argument.kind in (Parameter.POSITIONAL_ONLY, Parameter.VAR_POSITIONAL):
            is_list = argument.kind is Parameter.VAR_POSITIONAL
            positional.append((name, "list" if is_list else "any" if option.any_text else kind))
            if argument.kind is Parameter.POSITIONAL_ONLY and argument.default is Parameter.empty:
                required.append(name)
            continue
        assert argument.kind is Parameter.KEYWORD_ONLY, f"{module_name}: {name} is by position or by name"  # noqa: S101
        if argument.default is Parameter.empty:
            required.append(name)
        for spelling in option.names or (f"--{name.replace('_', '-')}",):
            by_name[spelling] = (name, "any" if option.any_text else kind)
        if option.negative is not None:
            by_name[option.negative] = (name, "off")
    lines = [f"{_quoted(tuple(positional))},", f"{_quoted(tuple(required))},", "{"]
    lines += [f"    {_quoted(spelling)}: {_quoted(option)}," for spelling, option in by_name.items()]
    return [f"        {line}" for line in (*lines, "},")]


def _kind(hint: Any) -> tuple[Any, Option]:
    """What a value is: `on` (a switch), `text`, `list`, or its words or numbers."""
    found, *more = get_args(hint)
    [option] = [one for one in more if isinstance(one, Option)]
    if get_origin(found) in (Union, types.UnionType):
        [found] = [one for one in get_args(found) if one is not type(None)]
    if get_origin(found) is Literal:
        return get_args(found), option
    if found is int:
        assert option.numbers is not None, option.names  # noqa: S101
        return option.numbers, option
    kinds = {bool: "on", str: "text", list[str]: "list"}
    return kinds[found], option


def _quoted(value: object) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(map(_quoted, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, range):
        return repr(value).replace("(0, ", "(")
    return '"' + str(value) + '"'


def main() -> None:
    """Write the module again."""
    table = text()
    with open(PATH, "w", encoding="utf-8") as file:
        file.write(table)


if __name__ == "__main__":
    main()
