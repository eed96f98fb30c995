"""MCP installation: changes the settings in which an agent keeps its MCP servers, and undoes the change.

Rule: as `installation`: a file has its old or its new text; its text from before is kept beside it, and restored if
no other program has changed the file since. Where an agent keeps its hooks in the same file, it is changed once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from maestro_cli.hooks import installation

from . import mcp_entries

if TYPE_CHECKING:
    from maestro_cli.hooks.installation import Finder, SettingsChange, SettingsEdit

    from .mcp_places import McpPlace


def with_server(change: SettingsChange, place: McpPlace, entry: dict[str, Any]) -> list[SettingsChange]:
    """The change of the hooks' file, and that which adds the server; one change where both are in one file. Raises
    MaestroError FILE_UNREADABLE for a file that can't be read as settings, CONFLICT where another server has its
    name."""
    if change.path == place.path:
        with installation.explained(place.path):
            return [change._replace(after=mcp_entries.added(change.after or "", place, entry))]
    before = installation.read(place.path)
    with installation.explained(place.path):
        has_own = mcp_entries.is_own(mcp_entries.found(before or "", place))
        after = mcp_entries.added(before or "", place, entry)
    # A second installation must not replace the backup of the first one.
    keeps = place.keeps_backup and before is not None and not has_own
    backup = installation.backup_path(place.path) if keeps else None
    return [change, installation.SettingsChange(place.path, before, after, backup)]


def finder(place: McpPlace) -> Finder:
    """Finds our server in a text, for `installation.plan_undo`."""

    def find(text: str) -> SettingsEdit | None:
        own = mcp_entries.found(text, place)
        if not isinstance(own, dict) or not mcp_entries.is_own(own):
            return None
        return installation.SettingsEdit(
            lambda text: mcp_entries.added(text, place, own), lambda text: mcp_entries.removed(text, place)
        )

    return find


def entry_in(place: McpPlace) -> object:
    """The entry called `maestro` in the settings, ours or another's; None where there is none. Raises as
    `with_server`."""
    text = installation.read(place.path)
    with installation.explained(place.path):
        return mcp_entries.found(text or "", place)
