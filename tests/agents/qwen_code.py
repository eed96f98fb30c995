"""Qwen Code: how it is started without a person, on a scratch HOME, with a stand-in for its model.

Rule: this module holds only the peculiarities of Qwen Code; `clients` finds the program and runs it.
"""

from __future__ import annotations

import json
import os

from agents import openai_api

NAME = "qwen-code"
PACKAGE = "@qwen-code/qwen-code"
API = openai_api
SHELL_TOOL = "run_shell_command"
PROGRAM = "@qwen-code/qwen-code/cli.js"
SETTINGS = ".qwen/settings.json"


def shell_call(command: str) -> dict[str, str]:
    """The arguments of a call of its shell tool."""
    return {"command": command, "description": "a step of the test"}


def environ(url: str) -> dict[str, str]:
    """The environment that leads it to the scripted model."""
    return {
        "OPENAI_API_KEY": "dummy",
        "OPENAI_BASE_URL": f"{url}/v1",
        "OPENAI_MODEL": "gpt-stand-in",
        # Otherwise it starts itself again with a larger heap.
        "QWEN_CODE_NO_RELAUNCH": "true",
    }


def prepare(home: str, url: str) -> None:
    """Write its settings: a key instead of a login, and no request to other hosts."""
    settings = {
        "security": {"auth": {"selectedType": "openai"}},
        "privacy": {"usageStatisticsEnabled": False},
        "general": {"enableAutoUpdate": False, "disableAutoUpdate": True},
        "telemetry": {"enabled": False},
        # Otherwise it asks its model after each turn what the person may type next.
        "ui": {"enableFollowupSuggestions": False},
        "memory": {"enableManagedAutoMemory": False, "enableManagedAutoDream": False},
    }
    os.makedirs(os.path.join(home, ".qwen"))
    with open(os.path.join(home, SETTINGS), "w", encoding="utf-8") as file:
        json.dump(settings, file)


def approve(program: list[str], environ: dict[str, str], work: str) -> None:
    """Do nothing: hooks in the user's settings run without approval."""


def prompt(text: str, resume: str | None) -> list[str]:
    """The arguments for one turn of the conversation, or of an earlier one."""
    return ["-y", *(["--resume", resume] if resume else []), "-p", text]


def ask_person(home: str, work: str) -> None:
    """Do nothing: without `-y` it asks before each command."""


def interactive(text: str) -> list[str]:
    """The arguments for its screen, with a first prompt, and with the file by which it can be woken."""
    return ["--approval-mode", "default", "--input-file", INPUT_FILE, "-i", text]


def asking_call(command: str) -> dict[str, str]:
    """The arguments of a call of its shell tool for which a person is asked."""
    return shell_call(command)


# Below the folder that it works in.
INPUT_FILE = "input.jsonl"
