"""Command table: every command, for cyclopts.

Rule: a command is a module of `commands` with a function `run`, the text DETAILS below its options in `--help`, and
perhaps USAGE. Only the command that is called is imported. cyclopts reads what the fast path does not: errors, and
everything else that is not in the plainest form. Help is made without it, in `help`.
"""

from __future__ import annotations

import typing
from importlib import import_module
from types import FunctionType
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from maestro_schemas import __version__

from . import options
from .help.command_rows import GROUPS, every_command
from .options import Option
from .output.usage_errors import NumberIn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType


def build(tokens: Sequence[str] | None = None) -> App:
    """The root command with all others below it; with `tokens`, only the command that they call has its options."""
    words = None if tokens is None else tuple(token for token in tokens if not token.startswith("-"))
    root = App(
        name="maestro",
        version=f"maestro {__version__}",
        # A switch that can only be left off needs no `--no-` twin.
        default_parameter=Parameter(negative=""),
        suppress_keyboard_interrupt=False,
        verbose=False,
    )
    apps = {group.name: App(name=group.name) for group in GROUPS}
    for path, row in every_command():
        parent = root if len(path) == 1 else apps[path[0]]
        app = App(name=row.name)
        if words is None or words[: len(path)] == path:
            app.default(_for_cyclopts(import_module(f"maestro_cli.commands.{row.module}")))
        parent.command(app)
    for app in apps.values():
        root.command(app)
    return root


def _for_cyclopts(module: ModuleType) -> Callable[..., int]:
    """The command's function, with annotations that are evaluated and have cyclopts' Parameter for our Option."""
    run = module.run
    function = FunctionType(run.__code__, run.__globals__, run.__name__, run.__defaults__, run.__closure__)
    function.__kwdefaults__ = run.__kwdefaults__
    function.__annotations__ = {name: _with_parameter(hint) for name, hint in options.declared(module)}
    return function


def _with_parameter(hint: Any) -> Any:
    kind, *more = typing.get_args(hint)
    [option] = [one for one in more if isinstance(one, Option)]
    given: dict[str, Any] = {
        "name": option.names,
        "negative": option.negative,
        # Free text without an option stands behind `--` (`fast_path.text_joined`).
        "allow_leading_hyphen": option.any_text and option.names[0].startswith("-")
        if option.names
        else option.any_text,
        "converter": None if option.numbers is None else NumberIn(option.numbers),
    }
    # cyclopts takes an argument that is None for a choice, and would not look at the default parameter.
    return Annotated[kind, Parameter(**{name: value for name, value in given.items() if value})]
