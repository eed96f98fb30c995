"""Project names: a speakable name for a session that has none, from the directory in which it works.

Rule: lower case letters, digits and `-`, short. A directory that is no project's, such as the home, names none. It
looks which directories are there, and runs no program.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # `typing` costs more than this module
if TYPE_CHECKING:
    from collections.abc import Mapping

# As long as people still say; the number behind it has its own room.
CHARS_MAX = 24
_TEMPORARY = ("/tmp", "/var/tmp", "/private/tmp", "/dev/shm")  # noqa: S108 - named, not used
# Letters that Unicode does not take apart into a plain letter and a mark.
_PLAIN = str.maketrans({"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "ł": "l"})


def name_base(directory: str | None, environ: Mapping[str, str], agent: str | None = None) -> str | None:
    """The base of a session's name: of the project in which `directory` is, else of the agent; None without both."""
    project = "" if not directory else _project(directory, environ)
    return speakable(os.path.basename(project)) or speakable(agent or "") or None


def speakable(text: str) -> str:
    """The text in small letters of English, digits and `-`, cut to CHARS_MAX; empty where nothing of it is left."""
    if not text.isascii():
        import unicodedata

        plain = unicodedata.normalize("NFKD", text.casefold().translate(_PLAIN))
        text = "".join(letter for letter in plain if not unicodedata.combining(letter))
    words = "".join(letter if letter.isascii() and letter.isalnum() else " " for letter in text.lower()).split()
    cut = "-".join(words)[: CHARS_MAX + 1]
    if len(cut) <= CHARS_MAX:
        return cut
    # At a word's end where that leaves half of it.
    whole = cut.rpartition("-")[0]
    return whole if len(whole) >= CHARS_MAX // 2 else cut[:CHARS_MAX]


def _project(directory: str, environ: Mapping[str, str]) -> str:
    """The top of the directory's work tree in git, else the directory; empty where that is no project's."""
    no_project = {os.path.normpath(place) for place in (*_TEMPORARY, environ.get("TMPDIR"), _home(environ)) if place}
    directory = os.path.normpath(directory)
    here = directory
    # A home that is in git itself names none of the projects in it.
    while here not in no_project and here != os.path.dirname(here):
        if os.path.exists(os.path.join(here, ".git")):
            return here
        here = os.path.dirname(here)
    return "" if directory in no_project else directory


def _home(environ: Mapping[str, str]) -> str:
    home = environ.get("HOME") or os.path.expanduser("~")
    return home if os.path.isabs(home) else ""
