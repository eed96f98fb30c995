"""Template files: where a template is looked for.

Rule: the project's own come first, then the user's, then the shipped ones; the first with the name is the one. The
project is the nearest directory above that has `.maestro/templates`, up to the root of its repository or the home
directory. A directory of another user is passed over: a message must not say what that user chose.
"""

from __future__ import annotations

import os
import re
import stat
from importlib import resources
from typing import TYPE_CHECKING, Literal, NamedTuple

from maestro_cli.arguments import FILE_BYTES_MAX
from maestro_runtime import paths, places
from maestro_schemas.errors import MaestroError
from maestro_schemas.texts.near_words import guess

from . import template_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Source = Literal["project", "user", "shipped"]

SHIPPED = ("handoff", "review", "status")
_SUFFIX = ".md"
_PROJECT_FOLDER = os.path.join(".maestro", "templates")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_SHOWN_MAX = 20


class TemplateFolder(NamedTuple):
    """One directory of templates."""

    source: Source
    path: str


def names(environ: Mapping[str, str], directory: str) -> dict[str, TemplateFolder | None]:
    """Every template by name, with its directory; None for a shipped one."""
    found: dict[str, TemplateFolder | None] = {}
    for folder in _folders(environ, directory):
        try:
            entries = sorted(os.listdir(folder.path))
        except OSError:
            continue
        for entry in entries:
            name = entry.removesuffix(_SUFFIX)
            if entry.endswith(_SUFFIX) and _NAME.fullmatch(name):
                found.setdefault(name, folder)
    for name in SHIPPED:
        found.setdefault(name, None)
    return dict(sorted(found.items()))


def read(name: str, environ: Mapping[str, str], directory: str) -> template_text.Template:
    """The template of this name. Raises MaestroError INVALID where there is none, with the list of those there are;
    FILE_UNREADABLE."""
    known = names(environ, directory)
    if name not in known:
        raise _unknown(name, list(known))
    folder = known[name]
    if folder is None:
        raw = resources.files(__package__).joinpath("shipped", name + _SUFFIX).read_text(encoding="utf-8")
        return template_text.parsed(name, "", "shipped", raw)
    path = os.path.join(folder.path, name + _SUFFIX)
    return template_text.parsed(name, path, folder.source, _text(path))


def _folders(environ: Mapping[str, str], directory: str) -> Iterator[TemplateFolder]:
    project = _project_folder(environ, directory)
    if project is not None:
        yield TemplateFolder("project", project)
    user = os.path.join(os.path.dirname(paths.config_file(environ)), "templates")
    if _is_ours(user):
        yield TemplateFolder("user", user)


def _project_folder(environ: Mapping[str, str], directory: str) -> str | None:
    home, at = environ.get("HOME", ""), directory
    while True:
        folder = os.path.join(at, _PROJECT_FOLDER)
        if os.path.isdir(folder):
            return folder if _is_ours(folder) else None
        above = os.path.dirname(at)
        if at in (above, home) or os.path.exists(os.path.join(at, ".git")):
            return None
        at = above


def _is_ours(folder: str) -> bool:
    try:
        found = os.stat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid in (os.geteuid(), 0)


def _text(path: str) -> str:
    try:
        raw = places.read(path, FILE_BYTES_MAX)
        return raw.decode()
    except OSError as error:
        raise places.refusal(
            "FILE_UNREADABLE", f"the template {places.shown(path)} can't be read", error, "Nothing was sent."
        ) from None
    except UnicodeDecodeError as error:
        raise MaestroError(
            "FILE_UNREADABLE",
            f"the template {places.shown(path)} is not UTF-8 (byte {error.start + 1:,} is 0x{raw[error.start]:02x})",
            "Nothing was sent. Save it as UTF-8.",
        ) from None


def _unknown(name: str, known: list[str]) -> MaestroError:
    more = f" and {len(known) - _SHOWN_MAX} more" if len(known) > _SHOWN_MAX else ""
    return MaestroError(
        "INVALID",
        f"there is no template {name[:80]!r}",
        f"{guess(name, known)}There are: {', '.join(known[:_SHOWN_MAX])}{more}. One of your own is a file "
        f".maestro/templates/NAME.md of the project.",
        details={"templates": known},
    )
