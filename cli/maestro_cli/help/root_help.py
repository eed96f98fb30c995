"""Root help: what `maestro --help` prints, the commands by their use, and the topics of `maestro help`.

Rule: one line for each command, so that all of it takes about two screens; the command's own help has the whole.
"""

from __future__ import annotations

import os

from maestro_cli.exit_codes import MEANINGS
from maestro_cli.output.styles import styled
from maestro_cli.output.tables import WIDTH, terminal_width
from maestro_cli.output.wrapping import padded, shown_width, wrapped

from .command_rows import ABOUT, GROUPS, ROOT_COMMANDS

SECTIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Everyday", ("send", "inbox", "read", "reply", "who", "log")),
    ("Look at", ("search", "threads", "timeline", "stats", "ui", "wake", "outbox", "export")),
    ("Sessions and groups", ("session", "message", "group", "attachment", "template")),
    ("Set up", ("setup", "doctor", "demo", "hooks", "mcp", "config", "completion", "uninstall")),
    ("Operate", ("status", "up", "down", "service", "keys", "spool", "index")),
)
_COMPATIBLE = "Compatible name"
_ELSE = "More"
_LINE_CHARS = 64
_WIDTH_MAX = 100
_EXAMPLES = """\
Examples:
  maestro                     who is here, and what is unread
  maestro inbox               new mail
  maestro send --help         all about one command
  maestro help exit-codes     also: maestro help environment"""
_ENVIRONMENT = (
    ("MAESTRO_SESSION_ID, MAESTRO_SESSION_TOKEN", "the session that speaks"),
    ("MAESTRO_SESSION_LINK", "AGENT/CONVERSATION: of a hook"),
    ("MAESTRO_DATA_DIR, MAESTRO_RUNTIME_DIR", "the directories of the files and of the sockets"),
    ("MAESTRO_AUTOSTART=0", "never start a broker automatically"),
    ("MAESTRO_CONFIG", "the file of settings"),
    ("MAESTRO_BROKER, MAESTRO_KEY_FILE", "tcp://HOST:PORT, and the key to it"),
    ("NO_COLOR, CLICOLOR_FORCE", "no colours; colours also where the output is no terminal"),
)
TOPICS = ("environment", "exit-codes")


def text(words: list[str]) -> str | None:
    """What `--help`, `help` or `help TOPIC` prints; None for the help of a command."""
    width = min(terminal_width(os.environ) or WIDTH, _WIDTH_MAX)
    if words in (["--help"], ["-h"], ["help"]):
        return "\n".join(_root(width))
    if words == ["help", "environment"]:
        return "\n".join(["Environment:", *_rows(list(_ENVIRONMENT), width)])
    if words == ["help", "exit-codes"]:
        return "\n".join(["Exit codes:", *_rows([(str(code), meaning) for code, meaning in MEANINGS.items()], width)])
    return None


def _root(width: int) -> list[str]:
    abouts = {row.name: row.about for row in (*ROOT_COMMANDS, *GROUPS)}
    compatible = [name for name, about in abouts.items() if about.startswith(_COMPATIBLE)]
    listed = {name for _, names in SECTIONS for name in names}
    others = tuple(name for name in abouts if name not in listed and name not in compatible)
    lines = ["Usage: maestro COMMAND", "", *wrapped(ABOUT, width)]
    for title, names in (*SECTIONS, (_ELSE, others)):
        rows = [(name, brief(abouts[name])) for name in names if name in abouts]
        if rows:
            lines += ["", styled(f"{title}:", "bold"), *_rows(rows, width)]
    lines += ["", *wrapped(f"{styled('Compatible names:', 'bold')} {', '.join(compatible)}.", width)]
    lines += ["", *_rows([("--help, -h", "of every command: what it takes"), ("--version", "the version")], width)]
    return [*lines, "", *_EXAMPLES.split("\n")]


def brief(about: str) -> str:
    """As much of a line of help as one line of the list holds: whole sentences or clauses."""
    said = about.partition(". ")[0].removesuffix(".")
    for mark in (";", " (", ":", ","):
        while len(said) > _LINE_CHARS and mark in said:
            said = said.rpartition(mark)[0]
    return said + "."


def _rows(rows: list[tuple[str, str]], width: int) -> list[str]:
    column = min(max(shown_width(label) for label, _ in rows), width // 2) + 4
    lines = []
    for label, about in rows:
        first, *rest = wrapped(about, max(width - column, 20))
        if shown_width(label) + 4 > column:
            lines += [f"  {label}", " " * column + first]
        else:
            lines.append(padded(f"  {label}", column) + first)
        lines += [" " * column + line for line in rest]
    return lines
