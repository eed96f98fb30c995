"""Hook install: an agent's settings file changed on disk, and changed back.

Rule: the new text is complete or absent, a symlink is followed and stays, the mode stays, and the text from before
the first installation is kept beside it. Taking out gives back that very text where nobody else has changed the
file meanwhile, and else takes out our entries alone.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, NamedTuple

from maestro_runtime import atomic_file
from maestro_schemas.errors import MaestroError

from . import settings_entries, shell_script

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from .agents import Agent

_BACKUP = ".before-maestro"
_MODE = 0o600
_BYTES_MAX = 4 << 20


class Plan(NamedTuple):
    """What is to become of `path`. `before`, `after`: its whole text, None for no file. `backup`: where the text from
    before us is kept; None where there is nothing to keep. `restores`: whether `after` is the text from before us."""

    path: str
    before: str | None
    after: str | None
    backup: str | None = None
    restores: bool = False

    @property
    def changes(self) -> bool:
        """Whether anything is to be done."""
        return self.before != self.after

    def carry_out(self) -> None:
        """Change the file. Raises MaestroError FILE_UNREADABLE when it can't be, and then it is as it was."""
        if not self.changes:
            return
        real = os.path.realpath(self.path)
        try:
            if self.after is None:
                os.unlink(real)
            else:
                os.makedirs(os.path.dirname(real), mode=0o700, exist_ok=True)
                if self.backup is not None and self.before is not None:
                    _replace(self.backup, self.before, _mode(real))
                _replace(real, self.after, _mode(real))
        except OSError as error:
            raise MaestroError(
                "FILE_UNREADABLE",
                f"{self.path} can't be changed: {error.strerror or error}",
                "Nothing was changed in it. Make it and its directory yours and writable.",
            ) from None


def entries(agent: Agent, data: str) -> dict[str, dict[str, Any]]:
    """Our entry for each event of the agent."""
    script = shell_script.script_path(data)
    return {event: agent.entry(shell_script.command(script, agent.name, event)) for event in agent.events}


def to_install(agent: Agent, path: str, wanted: Mapping[str, dict[str, Any]]) -> Plan:
    """How our entries come into the file. Raises MaestroError FILE_UNREADABLE for one that can't be read as the
    agent's settings."""
    before = _read(path)
    after = _understood(path, lambda: settings_entries.installed(before or "", wanted, comments=agent.comments))
    ours = _understood(path, lambda: settings_entries.ours_in(before or "", comments=agent.comments))
    # A second installation must not take the first one's text for the one from before us.
    backup = None if before is None or ours else os.path.realpath(path) + _BACKUP
    return Plan(path, before, after, backup)


def to_uninstall(agent: Agent, path: str) -> Plan:
    """How our entries leave the file. Raises as `to_install`."""
    before = _read(path)
    ours = before is not None and _understood(path, lambda: settings_entries.ours_in(before, comments=agent.comments))
    if before is None or not ours:
        return Plan(path, before, before)
    kept = _read(os.path.realpath(path) + _BACKUP)
    wanted = _entries_in(before, agent)
    for original in (kept, None):
        # The file is what an installation into that text gives: nobody else has changed it since.
        with contextlib.suppress(MaestroError):
            if wanted and settings_entries.installed(original or "", wanted, comments=agent.comments) == before:
                return Plan(path, before, original, restores=True)
    after = _understood(path, lambda: settings_entries.removed(before, comments=agent.comments))
    return Plan(path, before, after)


def _entries_in(text: str, agent: Agent) -> dict[str, dict[str, Any]]:
    """Our entries as they are in the file, which another version may have written; empty where they are not whole."""
    found = settings_entries.ours_in(text, comments=agent.comments)
    return {event: ours[0] for event, ours in found.items() if len(ours) == 1 and isinstance(ours[0], dict)}


def forget_backup(path: str) -> None:
    """The text from before us is the file's again, so it need not be kept."""
    with contextlib.suppress(OSError):
        os.unlink(os.path.realpath(path) + _BACKUP)


def _understood(path: str, read: Any) -> Any:
    try:
        return read()
    except MaestroError as error:
        raise MaestroError(
            "FILE_UNREADABLE",
            f"{path} can't be read as settings: {error.message}",
            "Nothing was changed. Mend the file by hand, then run this again.",
        ) from None


def _read(path: str) -> str | None:
    """The text of a file, None where there is none. Raises MaestroError FILE_UNREADABLE."""
    try:
        with open(path, "rb") as file:
            raw = file.read(_BYTES_MAX + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise MaestroError(
            "FILE_UNREADABLE",
            f"{path} can't be read: {error.strerror or error}",
            "Nothing was changed. Make it a file that you may read.",
        ) from None
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = "\0"
    if len(raw) > _BYTES_MAX or "\0" in text:
        raise MaestroError("FILE_UNREADABLE", f"{path} is no text of settings", "Nothing was changed.")
    return text


def _mode(path: str) -> int:
    try:
        return os.stat(path).st_mode & 0o777
    except OSError:
        return _MODE


def _replace(path: str, text: str, mode: int) -> None:
    atomic_file.replace(path, text.encode(), durable=True, mode=mode, aside=f"{path}.{os.getpid()}.new")
