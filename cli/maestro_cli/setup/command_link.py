"""Command link: how the user's shells find `maestro`, and the link that makes them find it.

Rule: another program called `maestro` is never hidden or replaced; then the command's other name is linked. No file
of a shell is edited.
"""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING, NamedTuple

from maestro_runtime import paths, places, user_files
from maestro_runtime.traces import footprints
from maestro_runtime.traces.footprints import Footprint

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = "maestro"
OTHER_NAME = "maestro-messaging"
_BYTES_MAX = 4_096


class CommandLink(NamedTuple):
    """How the command is found once `make` was called."""

    # The name under which it is found; empty where this installation has no command.
    name: str
    # The link that is missing; empty where none is needed.
    path: str = ""
    # The command of this installation, to which it leads.
    target: str = ""
    # Where a broken link at `path` led, which is replaced.
    before: str | None = None
    # Another program called `maestro`; empty where there is none.
    other: str = ""
    # The line for the user's shell, where PATH does not have the link's folder; else empty.
    advice: str = ""

    def make(self, data: str) -> None:
        """Make the link, where one is needed. Raises MaestroError FILE_UNREADABLE."""
        if not self.path:
            return
        footprints.note(data, [Footprint("link", self.path, before=self.before)])
        footprints.note_folders(data, [self.path])
        user_files.make_folder(self.path)
        try:
            if self.before is not None:
                os.unlink(self.path)
            os.symlink(self.target, self.path)
        except OSError as error:
            raise user_files.unwritable(self.path, error) from None


def plan(environ: Mapping[str, str]) -> CommandLink:
    """Look how `maestro` is found. Raises MaestroError DATA_DIR_UNUSABLE without a home directory."""
    folder = folder_of(environ)
    other = ""
    for name in (NAME, OTHER_NAME):
        target = own_command(name)
        if not target:
            return CommandLink("", other=other)
        found = shutil.which(name, path=environ.get("PATH", ""))
        if found is not None and is_ours(found):
            return CommandLink(name, other=other)
        path = os.path.join(folder, name)
        advice = "" if _is_on_path(folder, environ) else path_line(environ)
        if found is None and os.path.islink(path) and os.path.realpath(path) == os.path.realpath(target):
            return CommandLink(name, other=other, advice=advice)
        before = os.readlink(path) if os.path.islink(path) and not os.path.exists(path) else None
        if found is None and (before is not None or not os.path.lexists(path)):
            return CommandLink(name, path, target, before, other, advice)
        other = other or found or path
    return CommandLink("", other=other)


def folder_of(environ: Mapping[str, str]) -> str:
    """Where a user's own commands are. Raises MaestroError DATA_DIR_UNUSABLE."""
    return os.path.join(paths.home(environ), ".local", "bin")


def own_command(name: str) -> str:
    """The command of this installation; empty where there is none."""
    found = os.path.join(os.path.dirname(sys.executable), name)
    return found if os.access(found, os.X_OK) else ""


def is_ours(path: str) -> bool:
    """Whether a program is the command of this product, of this installation or another."""
    try:
        return b"maestro_cli.main" in places.read(path, _BYTES_MAX)
    except OSError:
        return False


def leads_to_own(link: str) -> bool:
    """Whether a link leads to the command of this installation, under one of its names."""
    real = os.path.realpath(link)
    return real in {os.path.realpath(found) for name in (NAME, OTHER_NAME) if (found := own_command(name))}


def path_line(environ: Mapping[str, str]) -> str:
    """The command that puts the folder of the link on PATH, for the user's shell."""
    shell = shell_of(environ)
    if shell == "fish":
        return "fish_add_path ~/.local/bin"
    file = {"zsh": "~/.zshrc", "bash": "~/.bashrc"}.get(shell, "~/.profile")
    return f"""echo 'export PATH="$HOME/.local/bin:$PATH"' >> {file}, and open a new shell"""


def shell_of(environ: Mapping[str, str]) -> str:
    """The name of the user's shell, such as `bash`; empty where it is not known."""
    shell = environ.get("SHELL", "")
    if not shell:
        import pwd

        try:
            shell = pwd.getpwuid(os.getuid()).pw_shell
        except KeyError:
            shell = ""
    return os.path.basename(shell)


def _is_on_path(folder: str, environ: Mapping[str, str]) -> bool:
    real = os.path.realpath(folder)
    return any(os.path.realpath(each) == real for each in environ.get("PATH", "").split(os.pathsep) if each)
