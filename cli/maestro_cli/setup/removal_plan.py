"""Removal plan: everything of ours that is on this machine, before any of it is removed.

Rule: it reads and changes nothing. What can't be read is an error of its own, and the others go on.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, NamedTuple

from maestro_cli.hooks import agents, installation, state_files
from maestro_cli.hooks.files import project_folder
from maestro_cli.hooks.mcp import mcp_places
from maestro_cli.processes import unit_removal
from maestro_runtime import ownership, paths, places, user_files
from maestro_runtime.traces import footprints
from maestro_schemas.errors import MaestroError

from . import agent_changes, command_link, completion_files, data_removal, found_agents, package_kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from maestro_cli.hooks.agents import Agent
    from maestro_cli.hooks.installation import SettingsChange
    from maestro_runtime.traces.footprints import Footprint


class RemovalItem(NamedTuple):
    """Something to remove."""

    path: str
    # What it is, and what becomes of it.
    about: str
    # Does it. Raises MaestroError, OSError.
    remove: Callable[[], object]


class LeftItem(NamedTuple):
    """Something that stays."""

    path: str
    why: str


class RemovalPlan(NamedTuple):
    """What is there to remove."""

    items: list[RemovalItem]
    left: list[LeftItem]
    errors: list[MaestroError]
    # What commands have noted, of all data directories.
    noted: dict[str, list[Footprint]]


def make(data: str, environ: Mapping[str, str], *, with_data: bool) -> RemovalPlan:
    """Look at this machine, and plan. Raises MaestroError DATA_DIR_UNUSABLE without a home directory, NOT_PRIVATE for
    a data directory that is not this user's."""
    ownership.check_data_dir(data)
    noted = {office: footprints.read(office) for office in data_removal.post_offices(data)}
    plan = RemovalPlan([], [], [], noted)
    every = [one for found in noted.values() for one in found]
    for agent in agents.AGENTS.values():
        _collect(plan, _of_agent(plan, agent, environ, every))
    kept = _data(plan, data, environ) if with_data else _kept_data(plan, data, environ)
    for found in (_units(plan, data, environ), _links(environ, every), _completion(), _hooks_dirs(noted), kept):
        _collect(plan, found)
    return plan


def _collect(plan: RemovalPlan, found: Iterator[RemovalItem]) -> None:
    try:
        for item in found:
            plan.items.append(item)
    except MaestroError as error:
        plan.errors.append(error)


# --- agents ------------------------------------------------------------------------------------------------


def _of_agent(
    plan: RemovalPlan, agent: Agent, environ: Mapping[str, str], noted: Sequence[Footprint]
) -> Iterator[RemovalItem]:
    own = [one for one in noted if one.agent == agent.name]
    project = places.current_directory()
    files = [agent.user_settings(environ)]
    if project is not None:
        files += [agent.project_settings(project), agent.shared_settings(project)]
    files += [one.path for one in own if one.kind == "hooks"]
    place = mcp_places.place_of(agent, environ)
    servers = [place, *(place._replace(path=one.path) for one in own if one.kind == "server")]
    for path in dict.fromkeys(files):
        yield from _settings(plan, agent, path, [server for server in servers if server.path == path], own)
    apart = {server.path: server for server in servers if server.path not in files}
    for path, server in apart.items():
        changes = agent_changes.plan_removal(agent, [], [server], own)
        yield from _changes(plan, path, changes, f"the MCP server of {agent.name} goes")
    if agent.has_own_folder:
        for folder in project_folder.all_below(found_agents.settings_folder(agent, environ)):
            yield _tree(folder, f"copies of files of mail, for {agent.name}")
    if agent is agents.CODEX:
        _note_trust(plan, files[0])


def _settings(
    plan: RemovalPlan, agent: Agent, path: str, servers: Sequence[mcp_places.McpPlace], noted: Sequence[Footprint]
) -> Iterator[RemovalItem]:
    try:
        changes = agent_changes.plan_removal(agent, [path], servers, noted)
        yield from _changes(plan, path, changes, f"the hooks of {agent.name} go")
    except MaestroError as error:
        plan.errors.append(error)


def _changes(plan: RemovalPlan, path: str, changes: Sequence[SettingsChange], about: str) -> Iterator[RemovalItem]:
    for change in changes:
        if change.is_needed:
            rest = "it is removed" if change.after is None else "all else in it stays"
            yield RemovalItem(path, f"{about}; {rest}", change.apply)
        backup = installation.backup_path(path)
        yield from _unfinished(path, backup)
        kept = installation.read(backup)
        if kept is None or change.restores:
            continue
        if kept == change.after:
            yield RemovalItem(backup, "the copy from before the installation", functools.partial(os.unlink, backup))
        else:
            why = "your settings from before the installation; they have changed since"
            plan.left.append(LeftItem(backup, why))


def _unfinished(*files: str) -> Iterator[RemovalItem]:
    for path in dict.fromkeys(left for file in files for left in user_files.unfinished(file)):
        yield RemovalItem(path, "what a command left that was killed", functools.partial(os.unlink, path))


def _note_trust(plan: RemovalPlan, hooks_file: str) -> None:
    """Codex notes in its config which hooks a person has reviewed."""
    path = os.path.join(os.path.dirname(hooks_file), "config.toml")
    if f'"{hooks_file}:' in (installation.read(path) or ""):
        plan.left.append(LeftItem(path, "Codex's own notes of the hooks that you reviewed; Codex wrote them"))


# --- what else stands outside of the data directory ----------------------------------------------------------


def _units(plan: RemovalPlan, data: str, environ: Mapping[str, str]) -> Iterator[RemovalItem]:
    found = unit_removal.units_of(data, environ)
    own = [path for path in found if unit_removal.is_ours(path)]
    plan.left.extend(LeftItem(path, "a unit that another program made") for path in found if path not in own)
    for number, path in enumerate(own):
        # All are stopped before the first one is removed.
        rest = functools.partial(unit_removal.remove, own) if number == 0 else lambda: None
        yield RemovalItem(path, "a unit of the service", rest)


def _links(environ: Mapping[str, str], noted: Sequence[Footprint]) -> Iterator[RemovalItem]:
    before = {one.path: one.before for one in noted if one.kind == "link"}
    found = list(before)
    if not package_kind.look().has_own_links:
        folder = command_link.folder_of(environ)
        found += [os.path.join(folder, name) for name in (command_link.NAME, command_link.OTHER_NAME)]
    for path in dict.fromkeys(found):
        if os.path.islink(path) and command_link.leads_to_own(path):
            yield RemovalItem(path, "the link to the command", functools.partial(_unlink, path, before.get(path)))


def _unlink(path: str, before: str | None) -> None:
    os.unlink(path)
    if before is not None:
        os.symlink(before, path)


def _completion() -> Iterator[RemovalItem]:
    yield from _unfinished(*(path for shell in completion_files.SHELLS for path in completion_files.places_of(shell)))
    for path in completion_files.installed():
        yield RemovalItem(path, "completion of a shell", functools.partial(os.unlink, path))


# --- the data directory --------------------------------------------------------------------------------------


def _hooks_dirs(offices: Mapping[str, object]) -> Iterator[RemovalItem]:
    for data in offices:
        folder = state_files.hooks_dir(data)
        if not data_removal.is_post_office(data) or os.path.islink(folder) or not os.path.isdir(folder):
            continue
        name = os.path.basename(folder)
        if any(data_removal.owns(name, inside) for inside in data_removal.names_in(folder)):
            remove = functools.partial(data_removal.remove_directory, data, name)
            yield RemovalItem(folder, "the script that hooks call, and what hooks noted", remove)


def _data(plan: RemovalPlan, data: str, environ: Mapping[str, str]) -> Iterator[RemovalItem]:
    foreign = data_removal.foreign_names(data)
    plan.left.extend(LeftItem(os.path.join(data, name), "not a file of the post office") for name in foreign)
    if set(data_removal.names_in(data)) - set(foreign):
        yield RemovalItem(data, "all mail, sessions, keys, logs", functools.partial(data_removal.remove_data, data))
    config = paths.config_file(environ)
    if os.path.lexists(config):
        yield RemovalItem(config, "your settings of maestro", functools.partial(os.unlink, config))
    for name, why in (("key", "your key to another machine"), ("templates", "templates that you wrote")):
        path = os.path.join(os.path.dirname(config), name)
        if not environ.get(paths.CONFIG_VARIABLE) and os.path.lexists(path):
            plan.left.append(LeftItem(path, why))


def _kept_data(plan: RemovalPlan, data: str, environ: Mapping[str, str]) -> Iterator[RemovalItem]:
    yield from ()
    if data_removal.names_in(data):
        plan.left.append(LeftItem(data, "the mail; `maestro uninstall --data` removes it"))
    config = paths.config_file(environ)
    if os.path.lexists(config):
        plan.left.append(LeftItem(config, "your settings of maestro; --data removes them"))


def _tree(folder: str, about: str) -> RemovalItem:
    import shutil

    return RemovalItem(folder, about, functools.partial(shutil.rmtree, folder))
