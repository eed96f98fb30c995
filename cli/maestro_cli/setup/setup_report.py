"""Setup report: the words of `maestro setup`.

Rule: it only writes. A path is shown from the home directory on, where it is below that.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from maestro_cli.hooks import agents
from maestro_cli.output import streams
from maestro_cli.output.render import plain
from maestro_cli.output.styles import styled
from maestro_cli.output.tables import Column, table, terminal_width
from maestro_cli.output.wrapping import wrapped
from maestro_runtime import paths, places

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from maestro_cli.doctor.findings import DoctorFinding

    from .setup_plan import SetupPlan
    from .setup_run import SetupStep

_INDENT = "  "
_HANGING = " " * 9
# A path is never cut.
_PATH_CHARS = 4_096
_COLOURS = {"ok": "green", "warning": "yellow", "failed": "red"}
_MARKS = {"done": "ok", "unchanged": "ok", "warning": "warning", "failed": "failed"}
NEXT = (
    "Next: open two of your agents, each in its project; restart those that run.\n"
    '      Then ask one: "Use maestro to ask the other agent what it works on."'
)
NO_AGENT = (
    "No agent was found: no command on PATH, and no settings folder. Known: {known}.\n"
    "  next: install one, or name yours: maestro setup claude-code"
)


def show_plan(plan: SetupPlan, environ: Mapping[str, str]) -> None:
    """Say what was found, and what will be written."""
    if plan.agents:
        signs = [f"{one.agent.name} ({shown(one.sign, environ) or 'named'})" for one in plan.agents]
        streams.say(f"Agents: {', '.join(signs)}")
    else:
        streams.note(NO_AGENT.format(known=", ".join(agents.AGENTS)))
    if not plan.is_needed:
        streams.say("Everything is set up already; nothing is written.")
        return
    streams.say("It writes:")
    show_files(plan.files, environ)


def show_files(files: Sequence[tuple[str, str]], environ: Mapping[str, str]) -> None:
    """A line for each path, with what it is."""
    columns = (Column("", least=_PATH_CHARS), Column("", wraps=True))
    width = terminal_width(environ)
    rows = [(shown(path, environ), about) for path, about in files]
    for line in table(columns, rows, None if width is None else width - len(_INDENT)):
        streams.say(_INDENT + line)


def show_next(plan: SetupPlan) -> None:
    """Say what a person does next."""
    streams.say(NEXT)
    if any(one.agent is agents.CLAUDE_CODE for one in plan.agents):
        # In its usual mode it asks a person before a new command, also where mail has woken it.
        streams.say(
            '      Claude Code asks you before its first maestro command. Choose "don\'t ask again": then it can\n'
            "      answer when mail wakes it, too."
        )


def show_step(step: SetupStep) -> None:
    """Say what became of a step."""
    _line(_MARKS[step.state], step.name, step.what, step.repair)


def show_finding(finding: DoctorFinding) -> None:
    """Say what the doctor has found."""
    _line(finding.state, finding.name, finding.what, finding.repair)


def shown(path: str, environ: Mapping[str, str]) -> str:
    """A path for people: from `~` on where it is below the home directory."""
    home = paths.home(environ)
    return places.shown("~" + path[len(home) :] if places.is_below(path, home) and home != "/" else path)


def _line(state: str, name: str, what: str, repair: str) -> None:
    width = terminal_width(os.environ)
    line = f"{styled(f'{state:<7}', _COLOURS[state])}  {name}: {plain(what)}"
    lines = wrapped(line, width, _HANGING)
    if repair:
        # What is to be copied stays on one line.
        lines.append(f"{_HANGING}next: {plain(repair)}")
    streams.say("\n".join(lines))
