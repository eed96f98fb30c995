"""Package kind: how this program was installed, and so how its own files are removed.

Rule: it only looks. Each installer leaves a file of its own beside the program.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import unquote, urlsplit

from maestro_runtime import places

if TYPE_CHECKING:
    from collections.abc import Callable

NAME = "maestro-messaging"


class InstalledPackage(NamedTuple):
    """The installed program."""

    kind: Literal["pipx", "uv", "clone", "environment", "system"]
    # The command, or the two of which one will do, that removes it.
    removal: str

    @property
    def has_own_links(self) -> bool:
        """Whether its installer has made the links on PATH, and removes them."""
        return self.kind in ("pipx", "uv")


def look(
    prefix: str = sys.prefix, plain_prefix: str = sys.base_prefix, url_of: Callable[[], str] | None = None
) -> InstalledPackage:
    """The program that runs. The arguments are for other environments than the running one."""
    if os.path.exists(os.path.join(prefix, "pipx_metadata.json")):
        return InstalledPackage("pipx", f"pipx uninstall {NAME}")
    if os.path.exists(os.path.join(prefix, "uv-receipt.toml")):
        return InstalledPackage("uv", f"uv tool uninstall {NAME}")
    if prefix == plain_prefix:
        return InstalledPackage("system", f"{places.quoted(sys.executable)} -m pip uninstall {NAME}")
    clone = _folder_of((url_of or _url)())
    if clone and places.is_below(prefix, clone):
        return InstalledPackage("clone", f"rm -r {places.quoted(prefix)} (or the clone: {places.quoted(clone)})")
    pip = os.path.join(prefix, "bin", "pip")
    if os.access(pip, os.X_OK):
        return InstalledPackage("environment", f"{places.quoted(pip)} uninstall {NAME}")
    python = places.quoted(os.path.join(prefix, "bin", "python"))
    return InstalledPackage("environment", f"uv pip uninstall --python {python} {NAME}")


def _url() -> str:
    """From where pip has installed it (PEP 610); empty for an index."""
    import json
    from importlib import metadata

    try:
        text = metadata.distribution(NAME).read_text("direct_url.json")
        found = json.loads(text or "{}").get("url", "")
    except (metadata.PackageNotFoundError, ValueError, AttributeError):
        return ""
    return found if isinstance(found, str) else ""


def _folder_of(url: str) -> str:
    """The directory of a file URL; empty for every other URL."""
    parts = urlsplit(url)
    folder = unquote(parts.path) if parts.scheme == "file" else ""
    return folder if os.path.isdir(folder) else ""
