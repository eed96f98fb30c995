"""Hook state files: the small files that hooks keep below `<data>/hooks`.

`links/<agent>/<agent session>`: the Maestro session that belongs to an agent's own session.
`turns/<session>`: how many times in a row hooks have continued the agent's turn.
`working/<session>`: empty; it exists while a hook has reported the session as working.

Rule: names and formats stay, because installed shell scripts read `links` and `working`. The truth about a session
is at the broker; a link only leads to it.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import NamedTuple

from maestro_runtime import atomic_file, places
from maestro_schemas.names import is_id

CONTINUATIONS_MAX = 3

_OVERWRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
_LINK_BYTES_MAX = 1_024
_LINK_KEPT_S = 30 * 24 * 3600
# The fifth, `started_ticks`, is younger than the others.
_LINK_LINES_MIN = 4
# The field's number in /proc/<pid>/stat (proc(5)).
_START_TIME_FIELD = 22


def hooks_dir(data: str) -> str:
    """The directory of the hooks of a data directory."""
    return os.path.join(data, "hooks")


# --- links -------------------------------------------------------------------------------------------------


class SessionLink(NamedTuple):
    """The Maestro session of an agent's own session."""

    session: str
    token: str | None = None
    # Whether a hook started the session, and so may end it.
    made: bool = False
    # The agent's process; 0 if unknown.
    pid: int = 0
    # When that process started, in clock ticks since boot; 0 if unknown. It tells a reused pid from the same process.
    started_ticks: int = 0


def link_path(data: str, agent: str, agent_session: str) -> str:
    """The file of a link. `agent_session` must be a valid id, because it becomes the file's name."""
    return os.path.join(hooks_dir(data), "links", agent, agent_session)


def read_link(data: str, agent: str, agent_session: str) -> SessionLink | None:
    """The link of an agent's session; None where there is no readable one."""
    return _read_link(link_path(data, agent, agent_session)) if is_id(agent_session) else None


def write_link(data: str, agent: str, agent_session: str, link: SessionLink) -> None:
    """Write a link, and delete links that were not written for a month. Raises OSError.

    The file is replaced atomically, with mode 0600, because it may hold a token.
    """
    path = link_path(data, agent, agent_session)
    folder = os.path.dirname(path)
    places.make_directory(folder)
    made = "made" if link.made else "given"
    lines = (link.session, link.token or "", made, link.pid, _started_ticks(link.pid))
    content = "".join(f"{line}\n" for line in lines).encode()
    # The temporary name begins with a dot, so that no reader takes it for a link.
    atomic_file.replace(path, content, durable=False, aside=os.path.join(folder, f".{os.getpid()}.new"))
    _delete_old_links(folder)


def link_of_process(data: str, agent: str, pid: int) -> SessionLink | None:
    """The newest link of an agent's process, which continues with another session id of its own after `/clear`."""
    if not pid:
        return None
    started_ticks = _started_ticks(pid)
    folder = os.path.dirname(link_path(data, agent, "any"))
    found = [(age_s, link) for name, age_s in _ages(folder) if (link := _read_link(os.path.join(folder, name)))]
    newest_first = [link for _, link in sorted(found, key=lambda one: one[0])]
    # The pid alone is not enough: the kernel may have given it to another agent, which must not get this mail.
    return next((link for link in newest_first if (link.pid, link.started_ticks) == (pid, started_ticks)), None)


def maker_of(data: str, session: str) -> str | None:
    """The agent's own session id for which a hook started `session`; None where no hook started it."""
    links = os.path.join(hooks_dir(data), "links")
    for agent in _names(links):
        for name in _names(os.path.join(links, agent)):
            link = _read_link(os.path.join(links, agent, name))
            if link is not None and link.made and link.session == session:
                return name
    return None


def _read_link(path: str) -> SessionLink | None:
    try:
        lines = places.read(path, _LINK_BYTES_MAX).decode("utf-8", "replace").split("\n")
    except OSError:
        return None
    if len(lines) < _LINK_LINES_MIN or not is_id(lines[0]):
        return None
    pid, started_ticks = (int(line) if line.isdecimal() else 0 for line in (lines[3], "".join(lines[4:5])))
    return SessionLink(lines[0], lines[1] or None, lines[2] == "made", pid, started_ticks)


def _started_ticks(pid: int) -> int:
    """When a process started; 0 where the system does not say."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The second field, the name in brackets, may contain blanks and brackets. Split after it.
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0
    return int(fields[_START_TIME_FIELD - 3]) if len(fields) > _START_TIME_FIELD - 3 else 0


def _delete_old_links(folder: str) -> None:
    for name, age_s in _ages(folder):
        if age_s > _LINK_KEPT_S:
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(folder, name))


def _ages(folder: str) -> list[tuple[str, float]]:
    now_s = time.time()
    found = []
    for name in _names(folder):
        with contextlib.suppress(OSError):
            found.append((name, now_s - os.stat(os.path.join(folder, name)).st_mtime))
    return found


def _names(folder: str) -> list[str]:
    try:
        return [name for name in os.listdir(folder) if not name.startswith(".")]
    except OSError:
        return []


# --- turns -------------------------------------------------------------------------------------------------


def may_continue_turn(data: str, session: str, *, again: bool) -> bool:
    """Whether a hook may continue the agent's turn once more. `again`: the agent reports that a hook has continued
    this turn already; without it the count starts again."""
    return not again or _continuations(_turn_path(data, session)) < CONTINUATIONS_MAX


def count_continuation(data: str, session: str, *, again: bool) -> None:
    """Count one continuation. Raises OSError; then the turn must not be continued, because nothing would end it."""
    path = _turn_path(data, session)
    count = _continuations(path) if again else 0
    places.make_directory(os.path.dirname(path))
    with open(places.open_file(path, _OVERWRITE), "w", encoding="ascii") as file:
        file.write(f"{count + 1}\n")


def _turn_path(data: str, session: str) -> str:
    return os.path.join(hooks_dir(data), "turns", session)


def _continuations(path: str) -> int:
    try:
        text = places.read(path, 16).decode("ascii", "replace").strip()
    except OSError:
        return 0
    return int(text) if text.isdecimal() else CONTINUATIONS_MAX


# --- working -----------------------------------------------------------------------------------------------


def is_working(data: str, session: str) -> bool:
    """Whether a hook has reported the session as working in this turn."""
    return os.path.exists(_working_path(data, session))


def mark_working(data: str, session: str) -> None:
    """Remember that the session is reported as working. Raises OSError."""
    path = _working_path(data, session)
    places.make_directory(os.path.dirname(path))
    os.close(places.open_file(path, _OVERWRITE))


def clear_working(data: str, session: str) -> None:
    """Forget it; the shell script then starts no Python at the end of a turn."""
    with contextlib.suppress(OSError):
        os.unlink(_working_path(data, session))


def _working_path(data: str, session: str) -> str:
    return os.path.join(hooks_dir(data), "working", session)
