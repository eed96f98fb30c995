"""Intents: the command that a person means by a word that names none.

Rule: words that people bring from other tools are in a table, since no spelling is near `ls`. Any other word is
looked for among the last words of all commands, then among those that are spelled alike. A guess is only said, and
nothing is run.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from collections.abc import Sequence

_NEAR = 0.7
_GUESSES_MAX = 3
# What is typed, behind `maestro`, and what does that.
INTENTS: dict[str, tuple[str, ...]] = {
    "ack": ("message read",),
    "acknowledge": ("message read",),
    "agents": ("who",),
    "answer": ("reply",),
    "ask": ('send bob "text" --wait-reply',),
    "attach": ("send --attach",),
    "attachments": ("attachment list",),
    "broadcast": ('send @all "text"',),
    "cat": ("read",),
    "chat": ("send", "log"),
    "check": ("inbox", "doctor"),
    "clear": ("inbox --clear",),
    "conversations": ("threads",),
    "dashboard": ("ui",),
    "delete": ("message delete",),
    "events": ("timeline",),
    "exit": ("session end",),
    "find": ("search",),
    "get": ("inbox", "message show"),
    "grep": ("search",),
    "groups": ("group list",),
    "history": ("log",),
    "id": ("whoami",),
    "init": ("setup", "config init"),
    "kill": ("session end", "down"),
    "limits": ("status",),
    "list": ("session list", "inbox --all"),
    "listen": ("inbox --watch",),
    "login": ("session start",),
    "logout": ("session end",),
    "logs": ("log", "timeline"),
    "ls": ("session list", "inbox --all"),
    "me": ("whoami",),
    "message list": ("inbox --all",),
    "message send": ("send",),
    "messages": ("inbox", "log"),
    "msg": ("send", "inbox"),
    "name": ("session rename",),
    "new": ("session start",),
    "notify": ("send",),
    "peers": ("who",),
    "ping": ("wake --test",),
    "post": ("send",),
    "ps": ("who",),
    "quit": ("session end", "down"),
    "receive": ("inbox",),
    "recv": ("inbox",),
    "register": ("session start",),
    "restart": ("down", "up"),
    "resume": ("session start --id",),
    "rm": ("message delete",),
    "run": ("up",),
    "say": ("send",),
    "sent": ("inbox --sent",),
    "serve": ("up",),
    "server": ("up",),
    "session ls": ("session list",),
    "session new": ("session start",),
    "session stop": ("session end",),
    "sessions": ("session list",),
    "settings": ("config show",),
    "start": ("up", "session start"),
    "stop": ("down", "session end"),
    "subscribe": ("inbox --watch",),
    "tail": ("log --follow",),
    "talk": ("send",),
    "team": ("who",),
    "tell": ("send",),
    "top": ("who --watch",),
    "unread": ("inbox --unread",),
    "users": ("session list",),
    "version": ("--version",),
    "wait": ("inbox --wait",),
    "watch": ("inbox --watch", "who --watch"),
    "web": ("ui",),
    "write": ("send",),
}


def no_command(tokens: Sequence[str], commands: Sequence[str]) -> MaestroError:
    """The error for words that name no command. `commands`: the words of each command that there is, and of each
    group."""
    typed, below = _typed(tokens, commands)
    guesses = _guesses(typed, commands)[:_GUESSES_MAX]
    words = " or ".join(f"`maestro {guess}`" for guess in guesses)
    every = f"All commands: maestro {below}--help"
    return MaestroError(
        "INVALID",
        f"there is no command {f'maestro {typed}'!r}",
        f"Did you mean {words}? {every}" if guesses else every,
    )


def _typed(tokens: Sequence[str], commands: Sequence[str]) -> tuple[str, str]:
    """The words that should have named a command, and the group that they are below, with a blank."""
    words = [token for token in tokens if not token.startswith("-")]
    if words[:1] == ["help"]:
        del words[0]
    group = words[0] if any(command.startswith(f"{words[0]} ") for command in commands) else ""
    return (f"{group} {words[1]}", f"{group} ") if group else (words[0], "")


def _guesses(typed: str, commands: Sequence[str]) -> list[str]:
    known = INTENTS.get(typed.lower())
    if known is not None:
        return list(known)
    group, _, word = typed.rpartition(" ")
    below = f"{group} " if group else ""
    beside = [command.removeprefix(below) for command in commands if command.startswith(below)]
    near = difflib.get_close_matches(word, [name for name in beside if " " not in name], 1, _NEAR)
    if near:
        return [below + near[0]]
    # `maestro retry` is `message retry`.
    same = [command for command in commands if command.endswith(f" {word}")]
    return same or list(INTENTS.get(word.lower(), ()))
