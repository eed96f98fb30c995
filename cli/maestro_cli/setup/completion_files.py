"""Completion files: the scripts with which shells complete `maestro`, where each shell looks for them by itself.

Rule: a file that another program made is never changed.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from maestro_cli.completion.marks import MARK, NAMES, Shell
from maestro_runtime import directories, user_files
from maestro_runtime.traces import footprints

if TYPE_CHECKING:
    from collections.abc import Sequence

BYTES_MAX = 4 << 20
SHELLS: tuple[Shell, ...] = ("bash", "zsh", "fish")


class CompletionFile(NamedTuple):
    """One script that is not as it should be yet."""

    path: str
    text: str

    def write(self, data: str) -> None:
        """Write it. Raises MaestroError FILE_UNREADABLE."""
        footprints.note_folders(data, [self.path])
        user_files.write(self.path, self.text)


def places_of(shell: Shell, names: Sequence[str] = NAMES) -> list[str]:
    """Where a shell looks for the scripts of these commands. Raises MaestroError DATA_DIR_UNUSABLE without a home
    directory."""
    data, config = directories.xdg_data_dir(), directories.xdg_config_dir()
    match shell:
        case "bash":
            return [os.path.join(data, "bash-completion", "completions", name) for name in names]
        case "zsh":
            return [os.path.join(data, "zsh", "site-functions", "_maestro")]
        case "fish":
            return [os.path.join(config, "fish", "completions", f"{name}.fish") for name in names]


def plan(shell: str, names: Sequence[str]) -> list[CompletionFile]:
    """The scripts that the user's shell needs and would find without an edit of its own files; none for zsh, and for
    shells that are not known. Raises MaestroError FILE_UNREADABLE."""
    known: Shell | None = "bash" if shell == "bash" else "fish" if shell == "fish" else None
    if known is None or not names:
        return []
    from maestro_cli.completion.scripts import script

    text = script(known)
    found = [(path, user_files.read(path, BYTES_MAX)) for path in places_of(known, names)]
    return [CompletionFile(path, text) for path, old in found if old is None or (old != text and is_ours(old))]


def advice(shell: str) -> str:
    """The command that is left to a person whose shell finds its scripts by a line in its own file; empty for other
    shells, and where it was run already. Raises as `plan`."""
    if shell != "zsh":
        return ""
    [path] = places_of("zsh")
    return "" if user_files.read(path, BYTES_MAX) is not None else "maestro completion zsh --install"


def installed() -> list[str]:
    """The scripts of ours that are there now. Raises MaestroError FILE_UNREADABLE."""
    return [
        path
        for shell in SHELLS
        for path in places_of(shell)
        if (old := user_files.read(path, BYTES_MAX)) is not None and is_ours(old)
    ]


def is_ours(text: str) -> bool:
    """Whether `maestro completion` has made this script."""
    return MARK in text
