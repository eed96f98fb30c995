"""OpenCode: how it is started without a person, on a scratch HOME, with a stand-in for its model.

Rule: this module holds only the peculiarities of OpenCode; `clients` finds the program and runs it.
"""

from __future__ import annotations

import json
import os
from typing import Any

from agents import openai_api

NAME = "opencode"
PACKAGE = "opencode-linux-*"
API = openai_api
SHELL_TOOL = "bash"
# The binary itself: the package `opencode-ai` is a script that copies it at its installation.
PROGRAM = "opencode-linux-*/bin/opencode"
# It looks for the package of its plugins' types at each start, and goes on without it.
KNOWN_STRAYS = ("registry.",)
SETTINGS = ".config/opencode/opencode.json"


def shell_call(command: str) -> dict[str, str]:
    """The arguments of a call of its shell tool."""
    return {"command": command, "description": "a step of the test"}


def environ(url: str) -> dict[str, str]:
    """The environment that keeps it from other hosts."""
    return {
        "OPENCODE_DISABLE_AUTOUPDATE": "1",
        "OPENCODE_DISABLE_MODELS_FETCH": "1",
        "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
        "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
        "OPENCODE_DISABLE_SHARE": "1",
    }


def prepare(home: str, url: str) -> None:
    """Write its settings: the scripted model as provider."""
    models = {"gpt-stand-in": {"name": "gpt-stand-in", "limit": {"context": 100_000, "output": 4_000}}}
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "stand-in",
        "options": {"baseURL": f"{url}/v1", "apiKey": "dummy"},
        "models": models,
    }
    settings = {
        "provider": {"stand-in": provider},
        "model": "stand-in/gpt-stand-in",
        "small_model": "stand-in/gpt-stand-in",
        "autoupdate": False,
        "share": "disabled",
    }
    _write(home, settings)


def approve(program: list[str], environ: dict[str, str], work: str) -> None:
    """Do nothing: a plugin in the user's own folder runs without approval."""


def prompt(text: str, resume: str | None) -> list[str]:
    """The arguments for one turn of the conversation, or of an earlier one."""
    return ["run", *(["--session", resume] if resume else []), text]


def ask_person(home: str, work: str) -> None:
    """Let it ask before each command."""
    with open(os.path.join(home, SETTINGS), encoding="utf-8") as file:
        settings: dict[str, Any] = json.load(file)
    _write(home, {**settings, "permission": {"bash": "ask"}})


def interactive(text: str) -> list[str]:
    """The arguments for its screen, with a first prompt."""
    return ["--prompt", text]


def asking_call(command: str) -> dict[str, str]:
    """The arguments of a call of its shell tool for which a person is asked."""
    return shell_call(command)


def _write(home: str, settings: dict[str, Any]) -> None:
    path = os.path.join(home, SETTINGS)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(settings, file)
