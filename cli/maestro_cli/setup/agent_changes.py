"""Agent changes: what an installation changes in the files of one agent, and what takes it out again.

Rule: it only plans. Files are read, and nothing is written before `apply`.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, NamedTuple

from maestro_cli.hooks import installation, shell_script
from maestro_cli.hooks.files import reading_rules
from maestro_cli.hooks.mcp import mcp_installation, mcp_places
from maestro_cli.hooks.waking import client_version
from maestro_runtime.traces import footprints
from maestro_runtime.traces.footprints import Footprint
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from maestro_cli.hooks.agents import Agent
    from maestro_cli.hooks.installation import SettingsChange
    from maestro_cli.hooks.mcp.mcp_places import McpPlace


class AgentInstallation(NamedTuple):
    """An installation that is planned."""

    agent: Agent
    # Of the settings, and of the file of MCP servers where that is another one.
    changes: list[SettingsChange]
    # Where the MCP server is; None without one.
    server: McpPlace | None
    # The events that have our hooks then.
    events: list[str]
    wakes: bool
    # The agent's version, where mail can't wake that; else empty.
    too_old: str

    @property
    def settings(self) -> SettingsChange:
        """The change of the settings that get the hooks."""
        return self.changes[0]

    @property
    def is_needed(self) -> bool:
        """Whether a file is not yet as it should be."""
        return any(change.is_needed for change in self.changes)

    def footprints(self) -> list[Footprint]:
        """What it leaves, to be noted before it is made."""
        found = [Footprint("hooks", self.settings.path, self.agent.name)]
        if self.server is not None:
            before = after = None
            change = self.changes[-1]
            if not self.server.keeps_backup and change.is_needed and change.before is not None:
                before, after = _difference(change.before, change.after or "")
            found.append(Footprint("server", self.server.path, self.agent.name, before, after))
        return found + footprints.folders_above(os.path.realpath(change.path) for change in self.changes)

    def apply(self, data: str) -> None:
        """Make the changes. The script comes first, and is written even if the settings stay: it may be missing, or
        name an interpreter that has moved. Raises MaestroError FILE_UNREADABLE, DATA_DIR_UNUSABLE, NOT_PRIVATE."""
        footprints.note(data, self.footprints())
        shell_script.write(data, sys.executable)
        for change in self.changes:
            change.apply()


def plan(
    agent: Agent, path: str, data: str, environ: Mapping[str, str], *, wake: bool | None, mcp: bool, shared: str = ""
) -> AgentInstallation:
    """Plan the installation in the settings at `path`.

    `wake`: whether mail wakes the agent from idle; None: as it is installed, else yes. `mcp`: its MCP server too.
    `shared`: a file in which earlier versions installed. Raises MaestroError FILE_UNREADABLE, CONFLICT, INVALID.
    """
    if wake is None:
        # An installation that brings the hooks up to date keeps what the user chose before.
        wake = all(installation.wakes(agent, file) for file in (path, shared) if file)
    too_old = client_version.too_old(agent, environ) if wake else ""
    wake = wake and not too_old
    wanted = installation.entries(agent, data, wake=wake)
    changes = [_with_rules(agent, installation.plan_install(agent, path, wanted), data)]
    place = None
    if mcp:
        place = mcp_places.place_of(agent, environ)
        changes = mcp_installation.with_server(changes[0], place, mcp_places.entry_of(agent, data, environ))
    return AgentInstallation(agent, changes, place, list(wanted), wake and bool(agent.waker), too_old)


def plan_removal(
    agent: Agent, paths: Sequence[str], servers: Sequence[McpPlace], made: Sequence[Footprint] = ()
) -> list[SettingsChange]:
    """Plan the changes that take out all that is ours in these settings, and our MCP servers. `made`: what is noted
    of them. Raises MaestroError FILE_UNREADABLE."""
    rules = reading_rules.list_of(agent)
    finders = [] if rules is None else [reading_rules.finder(rules)]
    inside = {place.path: mcp_installation.finder(place) for place in servers}
    changes = [
        installation.plan_uninstall(agent, path, *finders, *filter(None, [inside.get(path)])) for path in paths
    ]
    for place in servers:
        if place.path not in paths:
            change = installation.plan_undo(place.path, [inside[place.path]])
            changes.append(_as_it_was(change, place, made))
    return changes


def _with_rules(agent: Agent, change: SettingsChange, data: str) -> SettingsChange:
    """The change with the rules that let the agent open the files of its mail."""
    rules = reading_rules.list_of(agent)
    if rules is None:
        return change
    with installation.explained(change.path):
        return change._replace(after=reading_rules.added(change.after or "", rules, reading_rules.wanted(data)))


def _as_it_was(change: SettingsChange, place: McpPlace, made: Sequence[Footprint]) -> SettingsChange:
    """The change, with the very text that stood where the server is, as far as that is noted: an object that was
    empty before stays."""
    find = mcp_installation.finder(place)
    # The last one first: an earlier one may be of an installation that was taken out.
    for one in reversed(made):
        if not change.is_needed or change.before is None or (one.kind, one.path) != ("server", place.path):
            continue
        if one.before is None or not one.after or change.before.count(one.after) != 1:
            continue
        text = change.before.replace(one.after, one.before)
        with contextlib.suppress(MaestroError):
            if find(text) is None:
                return change._replace(after=text)
    return change


def _difference(before: str, after: str) -> tuple[str, str]:
    """The piece of `before` that `after` has another piece in place of."""
    start = _same_chars(before, after)
    end = _same_chars(before[start:][::-1], after[start:][::-1])
    return before[start : len(before) - end], after[start : len(after) - end]


def _same_chars(one: str, other: str) -> int:
    """How many characters two texts have in common from their start on."""
    pairs = zip(one, other, strict=False)
    return next((index for index, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
