"""Setup report: the words of `maestro setup`.

Rule: it only writes. A path is shown from the home directory on, where it is below that.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from maestro_cli.hooks import agents
from maestro_cli.output import streams
from maestro_cli.output.render import plain
from maestro_cli.output.screen import fit
from maestro_cli.output.styles import styled
from maestro_cli.output.tables import Column, table, terminal_width
from maestro_cli.output.wrapping import shown_width, wrapped
from maestro_runtime import paths, places

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from maestro_cli.doctor.findings import DoctorFinding

    from .setup_plan import SetupPlan
    from .setup_run import SetupStep

_INDENT = "  "
_HANGING = " " * 9
# As wide as "next: ", before which the lines of a step have their own indent.
_NEXT = " " * 6
# On a narrower terminal an indent takes the room that a command needs.
_WIDE = 60
# A path is never cut.
_PATH_CHARS = 4_096
# What a file is for has this room beside the paths, or stands below each.
_ABOUT_MIN = 40
_COLOURS = {"ok": "green", "fixed": "green", "planned": "blue", "warning": "yellow", "failed": "red"}
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
        streams.say(fit(f"Agents: {', '.join(signs)}"))
    else:
        streams.note(NO_AGENT.format(known=", ".join(agents.AGENTS)))
    errors = [(one.agent.name, one.error) for one in plan.agents if one.error is not None]
    for name, error in errors:
        streams.say(fit(f"{name} is left out: {plain(error.message)}"))
    if not plan.is_needed:
        everything = "Everything else" if errors else "Everything"
        streams.say(fit(f"{everything} is set up already; nothing is written."))
        return
    streams.say("It writes:")
    show_files(plan.files, environ)


def show_files(files: Sequence[tuple[str, str]], environ: Mapping[str, str]) -> None:
    """A line for each path, with what it is."""
    columns = (Column("", least=_PATH_CHARS), Column("", wraps=True))
    width = terminal_width(environ)
    rows = [(shown(path, environ), about) for path, about in files]
    longest = max((shown_width(path) for path, _ in rows), default=0)
    if width is not None and width < longest + len(_INDENT) + _ABOUT_MIN:
        for path, about in rows:
            streams.say("\n".join([_INDENT + path, *wrapped(f"{_INDENT * 2}{about}", width)]))
        return
    for line in table(columns, rows, None if width is None else width - len(_INDENT)):
        streams.say(_INDENT + line)


def show_next(plan: SetupPlan) -> None:
    """Say what a person does next."""
    streams.tell(NEXT)
    if any(one.agent is agents.CLAUDE_CODE for one in plan.agents):
        # In its usual mode it asks a person before a new command, also where mail has woken it.
        streams.tell(
            '      Claude Code asks you before its first maestro command. Choose "don\'t ask again": then it can\n'
            "      answer when mail wakes it, too."
        )


def show_step(step: SetupStep) -> None:
    """Say what became of a step."""
    show_line(_MARKS[step.state], step.name, step.what, step.repair)


def show_finding(finding: DoctorFinding) -> None:
    """Say what the doctor has found."""
    show_line(finding.state, finding.name, finding.what, finding.repair)


def shown(path: str, environ: Mapping[str, str]) -> str:
    """A path for people: from `~` on where it is below the home directory."""
    home = paths.home(environ)
    return places.shown("~" + path[len(home) :] if places.is_below(path, home) and home != "/" else path)


def show_line(state: str, name: str, what: str, repair: str) -> None:
    """Say a state, what it is about, and the next step below it."""
    width = terminal_width(os.environ)
    line = f"{styled(f'{state:<7}', _COLOURS[state])}  {name}: {plain(what)}"
    is_narrow = width is not None and width < _WIDE
    hanging, below = ("  ", "") if is_narrow else (_HANGING, _NEXT)
    lines = wrapped(line, width, hanging, keeps_copied=True)
    if repair:
        lines += wrapped(f"{hanging}next: {plain(repair)}", width, below, keeps_copied=True)
    streams.say("\n".join(lines))
