"""Gemini CLI: how it is started without a person, on a scratch HOME, with a stand-in for its model.

Rule: this module holds only the peculiarities of Gemini CLI; `clients` finds the program and runs it.
"""

from __future__ import annotations

import json
import os

from agents import gemini_api

NAME = "gemini-cli"
PACKAGE = "@google/gemini-cli"
API = gemini_api
SHELL_TOOL = "run_shell_command"
PROGRAM = "@google/gemini-cli/bundle/gemini.js"
SETTINGS = ".gemini/settings.json"


def shell_call(command: str) -> dict[str, str]:
    """The arguments of a call of its shell tool."""
    return {"command": command, "description": "a step of the test"}


def environ(url: str) -> dict[str, str]:
    """The environment that leads it to the scripted model."""
    return {
        "GOOGLE_GEMINI_BASE_URL": url,
        "GEMINI_API_KEY": "dummy",
        "GEMINI_TELEMETRY_ENABLED": "false",
        # Otherwise it starts itself again with a larger heap.
        "GEMINI_CLI_NO_RELAUNCH": "true",
    }


def prepare(home: str, url: str) -> None:
    """Write its settings: a key instead of a login, and no request to other hosts."""
    settings = {
        "security": {"auth": {"selectedType": "gemini-api-key"}},
        "privacy": {"usageStatisticsEnabled": False},
        "general": {"enableAutoUpdate": False, "enableAutoUpdateNotification": False},
    }
    os.makedirs(os.path.join(home, ".gemini"))
    with open(os.path.join(home, SETTINGS), "w", encoding="utf-8") as file:
        json.dump(settings, file)


def approve(program: list[str], environ: dict[str, str], work: str) -> None:
    """Do nothing: hooks in the user's settings run without approval, in a trusted folder."""


def prompt(text: str, resume: str | None) -> list[str]:
    """The arguments for one turn of the conversation, or of an earlier one."""
    return ["--skip-trust", "-y", "-m", "gemini-2.5-flash", *(["--resume", resume] if resume else []), "-p", text]


def ask_person(home: str, work: str) -> None:
    """Do nothing: without `-y` it asks before each command."""


def interactive(text: str, *more: str) -> list[str]:
    """The arguments for its screen, with a first prompt, if any, and `more`."""
    return ["--skip-trust", "-m", "gemini-2.5-flash", *more, *(["-i", text] if text else [])]


def asking_call(command: str) -> dict[str, str]:
    """The arguments of a call of its shell tool for which a person is asked."""
    return shell_call(command)
