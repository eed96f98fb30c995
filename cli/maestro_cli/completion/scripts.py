"""Completion scripts: generates the script with which bash, zsh or fish completes `maestro`.

Rule: the templates beside this module hold the shell code; Python only fills in tables made from the declared
commands. On Tab the script starts no program: the shell itself reads sessions and message ids from the data
directory. Starting Python would be too slow.
"""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args, get_origin

from cyclopts import App

from maestro_cli import command_table
from maestro_cli.templates import template_files
from maestro_runtime import config
from maestro_schemas import events, limits
from maestro_schemas.names import AUDIENCE_SIGIL, AUDIENCE_WORDS, OPERATOR

from .marks import MARK, NAMES, Shell

if TYPE_CHECKING:
    from collections.abc import Iterator

# Options whose type does not show what their value is.
_SESSION_OPTIONS = frozenset({"--session", "--parent"})
_SESSION_ARGUMENTS = frozenset({("log", "PEER"), ("session rename", "--id"), ("inbox", "--from")})
_MESSAGE_OPTIONS = frozenset({"--reply-to"})
# The folders of the caller's messages that a command accepts; all other commands accept both.
_FOLDERS = {
    "message receipt": ("by-sender",),
    "message retry": ("by-sender",),
    "message read": ("by-receiver",),
    "message reply": ("by-receiver",),
    "message delete": ("by-receiver",),
    "reply": ("by-receiver",),
    "read": ("by-receiver",),
    "session send": ("by-receiver",),
    "send": ("by-receiver",),
}
# What is offered at the place of a group's name, and behind it.
_GROUP_ARGUMENTS = {"group create": "session", "group add": "member", "group remove": "member"}
_FILE_OPTIONS = frozenset({"--file", "--out"})


class Value(NamedTuple):
    """What can follow an option or a command."""

    # `switch`: nothing; `words`: one of `words`; `session`, `receiver`; `group`; `member`: a group or a session;
    # `message`: an id in one of the folders `words`; `template`: a name, `words` are the shipped ones; `file`;
    # `text`: anything, so nothing is offered.
    kind: str
    words: tuple[str, ...] = ()


class Command(NamedTuple):
    """One command."""

    # Its words, such as `session send`.
    path: str
    # Each option's names, and its value.
    options: list[tuple[tuple[str, ...], Value]]
    # The positional argument.
    argument: Value | None
    # Whether it is only the first one, since the next is a text.
    is_first_alone: bool = False


def commands() -> list[Command]:
    """All commands, and the groups, whose argument is one of their commands."""
    return list(_walk(command_table.build(), ()))


def _walk(app: App, path: tuple[str, ...]) -> Iterator[Command]:
    names = [name for name in app if not name.startswith("-")]
    where = " ".join(path)
    if names:
        options: list[tuple[tuple[str, ...], Value]] = [(("--help",), Value("switch"))]
        if not path:
            options.append((("--version",), Value("switch")))
        yield Command(where, options, Value("words", tuple(names)))
        for name in names:
            yield from _walk(app[name], (*path, name))
        return
    found: list[tuple[tuple[str, ...], Value]] = []
    argument, is_first_alone = None, False
    for one in app.assemble_argument_collection():
        value = _value(where, one.names[0], one.hint)
        if one.names[0].startswith("-"):
            negatives = one.parameter.negative
            more = (negatives,) if isinstance(negatives, str) and negatives else tuple(negatives or ())
            found.append(((*one.parameter.name, *more), value))  # type: ignore[misc]
        elif argument is None:
            argument = value
        else:
            is_first_alone = True
    yield Command(where, [*found, (("--help",), Value("switch"))], argument, is_first_alone)


def _value(path: str, name: str, hint: Any) -> Value:
    words = _words(hint)
    if words:
        return Value("words", words)
    if hint is bool or bool in get_args(hint):
        return Value("switch")
    if name in ("--to", "TO"):
        return Value("receiver")
    if path.startswith("group ") and name == "NAME":
        return Value(_GROUP_ARGUMENTS.get(path, "group"))
    if (
        name in _SESSION_OPTIONS
        or name == "SESSION"
        or (path.startswith("session ") and name == "ID")
        or (path, name) in _SESSION_ARGUMENTS
    ):
        return Value("session")
    is_message = name == "ID" and path.startswith(("message ", "attachment ", "reply", "read"))
    if is_message or name in _MESSAGE_OPTIONS or (path, name) == ("timeline", "--message"):
        return Value("message", _FOLDERS.get(path, ("by-receiver", "by-sender")))
    if name in _FILE_OPTIONS:
        return Value("file")
    if name == "--template" or (path, name) == ("template show", "NAME"):
        return Value("template", template_files.SHIPPED)
    if (path, name) == ("export", "WHAT"):
        return Value("words", ("thread", "with", "group", "session"))
    if (path, name) == ("up", "--set"):
        return Value("words", tuple(f"{setting.removesuffix('_ms')}=" for setting in sorted(limits.DOCS)))
    if (path, name) == ("timeline", "--event"):
        return Value("words", tuple(sorted(events.RECORDED)))
    if (path, name) == ("config show", "NAMES"):
        tables = [(table, docs) for table, docs in config.SECTIONS.items() if table != "limits"]
        others = [f"{table}.{setting}" for table, docs in tables for setting in sorted(docs)]
        known = [*sorted(limits.DOCS), *others]
        return Value("words", tuple(setting.removesuffix("_ms") for setting in known))
    return Value("text")


def _words(hint: Any) -> tuple[str, ...]:
    """The words of a Literal, or of a Literal in a union."""
    if get_origin(hint) is Literal:
        return get_args(hint)
    return next((found for part in get_args(hint) if (found := _words(part))), ())


def script(shell: Shell) -> str:
    """The completion script of a shell."""
    if shell == "fish":
        return _fish()
    first = f"#compdef {' '.join(NAMES)}\n" if shell == "zsh" else ""
    functions = _filled(_template("offer.sh"), _offer_tables())
    own = _filled(_template("zsh.zsh" if shell == "zsh" else "bash.sh"), {"NAMES": " ".join(NAMES)})
    return f"{first}# Completion of maestro for {shell}, {MARK}.\n\n{functions}\n{own}"


def _template(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _filled(template: str, tables: dict[str, str]) -> str:
    """Replace each `@NAME@` by the text of its table."""
    for name, text in tables.items():
        template = template.replace(f"@{name}@", text)
    return template


def _offer_tables() -> dict[str, str]:
    """The tables of `offer.sh`, which bash and zsh share."""
    values, options, arguments = [], [], []
    found = commands()
    for one in found:
        for names, value in one.options:
            if value.kind != "switch":
                at = "|".join(f'"{one.path} {name}"' for name in names)
                values.append(f"        {at}) __maestro_value {_arguments(value)}; return 0 ;;")
        words = " ".join(name for names, _ in one.options for name in names if name.startswith("--"))
        options.append(f'            "{one.path}") __maestro_value words {words} ;;')
        if one.argument is not None and one.argument.kind != "text":
            first = "(( at == place )) && " if one.is_first_alone else ""
            arguments.append(f'        "{one.path}") {first}__maestro_value {_arguments(one.argument)} ;;')
    return {
        "ROUTES": "|".join(f'"{route}"' for route in _routes(found)),
        "VALUES": "\n".join(values),
        "OPTIONS": "\n".join(options),
        "ARGUMENTS": "\n".join(arguments),
        "AUDIENCES": _audiences(),
    }


def _audiences() -> str:
    return " ".join([OPERATOR, *(f"{AUDIENCE_SIGIL}{word}" for word in sorted(AUDIENCE_WORDS))])


def _routes(found: list[Command]) -> list[str]:
    """`PARENT WORD` for each command below the root; a command of the first level begins with a blank."""
    return [f"{' '.join(words[:-1])} {words[-1]}" for one in found if (words := one.path.split())]


def _arguments(value: Value) -> str:
    return " ".join((value.kind, *value.words))


def _fish() -> str:
    found = commands()
    lines = []
    for name in NAMES:
        lines.append(f"complete -c {name} -f")
        for one in found:
            at = f"complete -c {name} -n \"__maestro_at '{one.path}'\""
            if one.argument is not None and (offered := _fish_values(one.argument)):
                first = at.replace("__maestro_at", "__maestro_first_of") if one.is_first_alone else at
                lines.append(f"{first} {offered}")
            for names, value in one.options:
                flags = " ".join(f"-l {n[2:]}" if n.startswith("--") else f"-s {n[1:]}" for n in names)
                if value.kind == "switch":
                    lines.append(f"{at} {flags}")
                else:
                    lines.append(f"{at} {flags} {_fish_values(value) or '-x'}")
    tables = {
        "ROUTES": " ".join(f"'{route}'" for route in _routes(found)),
        "COMPLETIONS": "\n".join(lines),
        "AUDIENCES": _audiences(),
    }
    return f"# Completion of maestro for fish, {MARK}.\n\n{_filled(_template('fish.fish'), tables)}"


def _fish_values(value: Value) -> str:
    match value.kind:
        case "words":
            return f"-xa '{' '.join(value.words)}'"
        case "session" | "receiver" | "message" | "group" | "member" | "template":
            return f"-xa '({' '.join((f'__maestro_{value.kind}s', *value.words))})'"
        case "file":
            return "-rF"
    return ""
