"""Confirmation: asks the person at the terminal once, and again after an answer that is neither yes nor no.

Rule: without a terminal nothing is asked, and nothing is done.
"""

from __future__ import annotations

import sys

from maestro_cli.output import streams
from maestro_schemas.errors import MaestroError

_ANSWERS = {"y": True, "yes": True, "n": False, "no": False}


def ask(question: str, command: str, *, default: bool) -> bool:
    """Whether the person agrees. `command`: what the question is about, for the error. Raises MaestroError INVALID
    without a terminal."""
    if not _is_terminal():
        raise MaestroError(
            "INVALID",
            f"`maestro {command}` asks before it changes files, and there is no terminal to ask on",
            f"Nothing was changed. maestro {command} --yes does it; --dry-run only shows it.",
        )
    try:
        while True:
            # The answer stands on the question's line.
            print(f"{question} {'[Y/n]' if default else '[y/N]'} ", end="", file=sys.stderr, flush=True)
            line = sys.stdin.readline()
            answer = line.strip().lower()
            if not answer:
                # An end of the input is no answer.
                return default and line != ""
            if answer in _ANSWERS:
                return _ANSWERS[answer]
            streams.note("Type y or n.")
    except KeyboardInterrupt:
        streams.note("\nNothing was changed.")
        raise


def _is_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr is not None and sys.stderr.isatty()
