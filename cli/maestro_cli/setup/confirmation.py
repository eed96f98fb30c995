"""Confirmation: asks the person at the terminal once.

Rule: without a terminal nothing is asked, and nothing is done.
"""

from __future__ import annotations

import sys

from maestro_cli.output import streams
from maestro_schemas.errors import MaestroError


def ask(question: str, command: str, *, default: bool) -> bool:
    """Whether the person agrees. `command`: what the question is about, for the error. Raises MaestroError INVALID
    without a terminal."""
    if not _is_terminal():
        raise MaestroError(
            "INVALID",
            f"`maestro {command}` asks before it changes files, and there is no terminal to ask on",
            f"Nothing was changed. maestro {command} --yes does it; --dry-run only shows it.",
        )
    streams.note(f"{question} {'[Y/n]' if default else '[y/N]'}")
    answer = sys.stdin.readline()
    # An end of the input is no answer.
    return default and answer != "" if not answer.strip() else answer.strip().lower() in ("y", "yes")


def _is_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr is not None and sys.stderr.isatty()
