"""Hook installation: changes an agent's settings file, and undoes the change.

Rule: a file has its old or its new text, never a part. A symlink is followed and kept, and the file's mode is kept.
The text from before the first installation is kept beside the file. Uninstalling restores it if no other program has
changed the file since; otherwise it removes only our entries.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
from typing import TYPE_CHECKING, NamedTuple

from maestro_runtime import atomic_file, places, user_files
from maestro_schemas.errors import MaestroError

from . import agents, settings_entries, shell_script
from .plugin import plugin_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    from .agents import Agent

    # Looks for something of ours in a text.
    Finder = Callable[[str], "SettingsEdit | None"]

_BACKUP = ".before-maestro"
# Claude Code keeps its whole state in one of them.
_BYTES_MAX = 32 << 20


class SettingsChange(NamedTuple):
    """A change of one settings file, not yet made."""

    path: str
    # The file's whole text; None for no file.
    before: str | None
    after: str | None
    # The file that will keep the text from before the first installation; None where there is nothing to keep.
    backup: str | None = None
    # Whether `after` is the text from before the first installation.
    restores: bool = False

    @property
    def is_needed(self) -> bool:
        """Whether the file's text differs from the planned one."""
        return self.before != self.after

    def apply(self) -> None:
        """Change the file. Raises MaestroError FILE_UNREADABLE where that fails, CONFLICT where another program has
        changed it since the plan, which a person may have looked at for long; the file then has its old text."""
        present = read(self.path) if self.is_needed else self.after
        if present == self.after:
            return
        if present != self.before:
            raise MaestroError(
                "CONFLICT",
                f"{places.shown(self.path)} was changed by another program meanwhile",
                "Nothing was changed in it. Run the command again.",
            )
        real = os.path.realpath(self.path)
        if self.after is not None:
            user_files.make_folder(real)
        try:
            if self.after is None:
                os.unlink(real)
            elif self.backup is not None and self.before is not None:
                _keep(self.backup, self.before, like=real)
        except OSError as error:
            raise user_files.unwritable(self.path, error) from None
        if self.after is not None:
            user_files.write(self.path, self.after)
        if self.restores:
            # The file has the old text again.
            with contextlib.suppress(OSError):
                os.unlink(backup_path(self.path))


class SettingsEdit(NamedTuple):
    """Something of ours in the text of a settings file."""

    # From the text without it to that with it, and back; both raise MaestroError INVALID.
    added: Callable[[str], str]
    removed: Callable[[str], str]


def entries(agent: Agent, data: str, *, wake: bool = True) -> dict[str, dict[str, Any]]:
    """Our entry for each event of the agent. `wake`: whether the hooks wake it from idle, where something can."""
    script = shell_script.script_path(data)
    found = {}
    for event, kind in agent.events.items():
        if kind == agents.WAKE and not wake:
            continue
        word = "" if kind != agents.START or not agent.waker else shell_script.WAKE if wake else shell_script.NO_WAKE
        found[event] = agent.entry(event, shell_script.command(script, agent.name, event, word))
    return found


def wakes(agent: Agent, path: str) -> bool:
    """Whether the hooks in a settings file wake the agent, or will after an installation that does not say otherwise:
    they do unless they were installed without. Raises as `plan_install`."""
    with explained(path):
        commands = commands_in(agent, read(path) or "")
    words = [shell_script.wake_word(line) for event, line in commands if agent.events.get(event) == agents.START]
    return shell_script.NO_WAKE not in words


def commands_in(agent: Agent, text: str) -> list[tuple[str, str]]:
    """(event, command) for each command in a text of settings, or in a plugin. Raises MaestroError INVALID."""
    settings = plugin_file.settings_in(text) if agent.is_plugin else text
    return settings_entries.commands_in(settings, comments=agent.comments)


def plan_install(agent: Agent, path: str, wanted: Mapping[str, dict[str, Any]]) -> SettingsChange:
    """Plan the change that adds the entries. Raises MaestroError FILE_UNREADABLE for a file that can't be read as the
    agent's settings."""
    before = read(path)
    if agent.is_plugin:
        if before is not None and not plugin_file.is_ours(before):
            raise MaestroError(
                "CONFLICT",
                f"{path} exists, and `maestro hooks install` has not written it",
                "Nothing was changed. Give that file another name, then run this again.",
            )
        return SettingsChange(path, before, plugin_file.text(agent.name, wanted))
    with explained(path):
        after = settings_entries.add_entries(before or "", wanted, comments=agent.comments)
        own = settings_entries.own_entries(before or "", comments=agent.comments)
    # A second installation must not replace the backup of the first one.
    backup = None if before is None or own else backup_path(path)
    return SettingsChange(path, before, after, backup)


def plan_uninstall(agent: Agent, path: str, *more: Finder) -> SettingsChange:
    """Plan the change that removes our entries. `more`: what else of ours may be in the file. Raises as
    `plan_install`."""
    if agent.is_plugin:
        before = read(path)
        return SettingsChange(path, before, None if before and plugin_file.is_ours(before) else before)
    return plan_undo(path, [lambda text: _hook_edit(agent, text), *more])


def plan_undo(path: str, finders: Sequence[Finder]) -> SettingsChange:
    """Plan the change that takes out what the finders find in a file. Raises as `plan_install`."""
    before = read(path)
    if before is None:
        return SettingsChange(path, None, None)
    with explained(path):
        edits = [edit for find in finders if (edit := find(before)) is not None]
        for original in (read(backup_path(path)), None) if edits else ():
            for order in itertools.permutations(edits):
                # If adding them to `original` gives the present text, no other program has changed the file since.
                with contextlib.suppress(MaestroError):
                    if before == functools.reduce(lambda text, edit: edit.added(text), order, original or ""):
                        return SettingsChange(path, before, original, restores=True)
        return SettingsChange(path, before, functools.reduce(lambda text, edit: edit.removed(text), edits, before))


def _hook_edit(agent: Agent, text: str) -> SettingsEdit | None:
    own = settings_entries.own_entries(text, comments=agent.comments)
    # Another version may have written them. Entries that are not whole are left out.
    installed = {event: found[0] for event, found in own.items() if len(found) == 1 and isinstance(found[0], dict)}
    return (
        SettingsEdit(
            lambda text: settings_entries.add_entries(text, installed, comments=agent.comments),
            lambda text: settings_entries.remove_entries(text, comments=agent.comments),
        )
        if own
        else None
    )


def backup_path(path: str) -> str:
    """The file with the text from before the first installation."""
    return os.path.realpath(path) + _BACKUP


@contextlib.contextmanager
def explained(path: str) -> Iterator[None]:
    """Turn an error about the text into one that names the file and the next step."""
    try:
        yield
    except MaestroError as error:
        if error.code != "INVALID":
            raise
        raise MaestroError(
            "FILE_UNREADABLE",
            f"{path} can't be read as settings: {error.message}",
            "The file was not changed. Repair it by hand, then run this again.",
        ) from None


def read(path: str) -> str | None:
    """The text of a file; None where there is no file. Raises MaestroError FILE_UNREADABLE."""
    try:
        raw = places.read(path, _BYTES_MAX + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise places.refusal(
            "FILE_UNREADABLE", f"{places.shown(path)} can't be read", error, "The file was not changed."
        ) from None
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = "\0"
    if len(raw) > _BYTES_MAX or "\0" in text:
        raise MaestroError("FILE_UNREADABLE", f"{path} is not a text file of settings", "The file was not changed.")
    return text


def _keep(backup: str, text: str, *, like: str) -> None:
    """Write the backup, with the owner, the group and the mode of the file."""
    aside = f"{backup}.{os.getpid()}.new"
    atomic_file.stage(aside, text.encode(), durable=True, like=os.stat(like))
    os.rename(aside, backup)
    atomic_file.sync_directory(os.path.dirname(backup))
