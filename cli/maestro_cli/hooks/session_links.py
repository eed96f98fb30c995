"""Hook links: which of our sessions belongs to an agent's own session.

Rule: one small file for each, `<data>/hooks/links/<agent>/<agent's session id>`, that a shell can read: our session
on the first line. It is replaced atomically and only this user can read it, since it may hold a token. The file is
not the truth about the session (the broker is), only the way to it.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import NamedTuple

from maestro_runtime import atomic_file
from maestro_schemas.names import is_id

_KEPT_S = 30 * 24 * 3600
_LINES = 4
# proc(5), starttime.
_BEGAN_FIELD = 22


class SessionLink(NamedTuple):
    """`made`: whether the hook started the session, and so may end it. `pid`: the agent's process; 0 if unknown.
    `began`: when that process began, in the kernel's ticks, as it was when the link was written; 0 if unknown."""

    session: str
    token: str | None = None
    made: bool = False
    pid: int = 0
    began: int = 0


def top(data: str) -> str:
    """Where the hooks of a post office keep their files."""
    return os.path.join(data, "hooks")


def path(data: str, agent: str, agent_session: str) -> str:
    """The file of a link. `agent_session` must be an id: it becomes a file's name."""
    return os.path.join(top(data), "links", agent, agent_session)


def read(data: str, agent: str, agent_session: str) -> SessionLink | None:
    """The link of an agent's session; None where there is none, or none that can be read."""
    return _read(path(data, agent, agent_session)) if is_id(agent_session) else None


def write(data: str, agent: str, agent_session: str, link: SessionLink) -> None:
    """Keep a link, and let go of those that nobody has touched for a month. Raises OSError."""
    target = path(data, agent, agent_session)
    folder = os.path.dirname(target)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    made = "made" if link.made else "given"
    text = f"{link.session}\n{link.token or ''}\n{made}\n{link.pid}\n{_began(link.pid)}\n"
    aside = os.path.join(folder, f".{os.getpid()}.new")
    atomic_file.replace(target, text.encode(), durable=False, aside=aside)
    _forget_old(folder)


def of_process(data: str, agent: str, pid: int) -> SessionLink | None:
    """The newest link of an agent's process: it goes on under another session id of its own after `/clear`."""
    if not pid:
        return None
    began = _began(pid)
    folder = os.path.dirname(path(data, agent, "any"))
    found = [(age_s, link) for name, age_s in _aged(folder) if (link := _read(os.path.join(folder, name)))]
    newest_first = [link for _, link in sorted(found, key=lambda one: one[0])]
    # The same number may be another process's by now, and the link one to somebody else's mail.
    return next((link for link in newest_first if (link.pid, link.began) == (pid, began)), None)


def maker_of(data: str, session: str) -> str | None:
    """The agent's own session id for which a hook started `session`; None where no hook did."""
    links = os.path.join(top(data), "links")
    for agent in _names(links):
        for name in _names(os.path.join(links, agent)):
            link = _read(os.path.join(links, agent, name))
            if link is not None and link.made and link.session == session:
                return name
    return None


def _read(file_path: str) -> SessionLink | None:
    try:
        with open(file_path, encoding="utf-8", errors="replace") as file:
            lines = file.read(1_024).split("\n")
    except OSError:
        return None
    if len(lines) < _LINES or not is_id(lines[0]):
        return None
    pid, began = (int(line) if line.isdecimal() else 0 for line in (lines[3], "".join(lines[4:5])))
    return SessionLink(lines[0], lines[1] or None, lines[2] == "made", pid, began)


def _began(pid: int) -> int:
    """When a process began; 0 where the system does not say."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name, in brackets, may have blanks and brackets in it. Behind it are the fields from the third on.
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0
    return int(fields[_BEGAN_FIELD - 3]) if len(fields) > _BEGAN_FIELD - 3 else 0


def _forget_old(folder: str) -> None:
    for name, age_s in _aged(folder):
        if age_s > _KEPT_S:
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(folder, name))


def _aged(folder: str) -> list[tuple[str, float]]:
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
