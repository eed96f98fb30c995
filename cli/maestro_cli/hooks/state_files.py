"""Hook state files: the small files that hooks keep below `<data>/hooks`.

`links/<agent>/<agent session>`: the Maestro session that belongs to an agent's own session, with its token and the
processes that have begun or resumed that agent session. 0600, because of the token.
`turns/<session>`: how many times in a row hooks have continued the agent's turn.
`state/<session>`: the last sign of the session (`maestro_runtime.hook_state`).

Rule: names and formats stay, because installed shell scripts read `links` and write `state`. The truth about a
session is at the broker; a link only leads to it.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, NamedTuple

from maestro_runtime import atomic_file, hook_state, places
from maestro_runtime.process_identity import is_alive, pid_start
from maestro_schemas.names import OPERATOR, is_id

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTINUATIONS_MAX = 3

_OVERWRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
_LINK_BYTES_MAX = 4_096
_KEPT_S = 30 * 24 * 3600
# The session, its token, and who made it. The lines after them are processes.
_LINK_LINES = 3
_UNKNOWN = "-"


def hooks_dir(data: str) -> str:
    """The directory of the hooks of a data directory."""
    return os.path.join(data, "hooks")


# --- links -------------------------------------------------------------------------------------------------


class AgentProcess(NamedTuple):
    """A process of an agent. Its start tells it from a later process with the same pid."""

    pid: int
    start: str | None

    @classmethod
    def of(cls, pid: int) -> AgentProcess | None:
        """The process that has this pid now; None for no pid."""
        return cls(pid, pid_start(pid)) if pid else None

    @property
    def may_live(self) -> bool:
        """Whether it runs, or that can't be known."""
        return is_alive(self.pid, self.start) is not False


class SessionLink(NamedTuple):
    """The Maestro session of an agent's own session."""

    session: str
    token: str | None = None
    # Whether a hook started the session, and so may end it.
    made: bool = False
    # Whether a hook has given its variables to the agent's shell; otherwise each command names the link.
    exported: bool = False
    # The processes that have begun or resumed the agent's session; the last one comes first.
    processes: tuple[AgentProcess, ...] = ()

    def used_by(self, process: AgentProcess | None) -> SessionLink:
        """The link after `process` has begun or resumed the session. Processes that have ended are left out."""
        others = tuple(one for one in self.processes if one != process and one.may_live)
        return self._replace(processes=others if process is None else (process, *others))


def link_path(data: str, agent: str, agent_session: str) -> str:
    """The file of a link. `agent_session` must be a valid id, because it becomes the file's name."""
    return os.path.join(hooks_dir(data), "links", agent, agent_session)


def read_link(data: str, agent: str, agent_session: str) -> SessionLink | None:
    """The link of an agent's session; None where there is no readable one."""
    return _read_link(link_path(data, agent, agent_session)) if is_id(agent_session) else None


def write_link(data: str, agent: str, agent_session: str, link: SessionLink) -> None:
    """Write a link, and delete links and states that were not written for a month. Raises OSError.

    The file is replaced atomically, with mode 0600, because it may hold a token.
    """
    path = link_path(data, agent, agent_session)
    folder = os.path.dirname(path)
    places.make_directory(folder)
    made = ("exported" if link.exported else "made") if link.made else "given"
    processes = (f"{process.pid} {process.start or _UNKNOWN}" for process in link.processes)
    content = "".join(f"{line}\n" for line in (link.session, link.token or "", made, *processes)).encode()
    # The temporary name begins with a dot, so that no reader takes it for a link.
    atomic_file.replace(path, content, durable=False, aside=os.path.join(folder, f".{os.getpid()}.new"))
    _delete_old(folder)
    _delete_old(os.path.dirname(hook_state.path(data, link.session)))


def link_of_process(data: str, agent: str, process: AgentProcess | None) -> SessionLink | None:
    """The newest link of an agent's process, which continues with another session id of its own after `/clear`."""
    folder = os.path.dirname(link_path(data, agent, "any"))
    found = [(age_s, link) for name, age_s in _ages(folder) if (link := _read_link(os.path.join(folder, name)))]
    newest_first = [link for _, link in sorted(found, key=lambda one: one[0])]
    # The pid alone is not enough: the kernel may have given it to another agent, which must not get this mail.
    return next((link for link in newest_first if process in link.processes), None)


class AgentLink(NamedTuple):
    """A link with the agent whose it is."""

    agent: str
    link: SessionLink


def newest_links(data: str) -> list[AgentLink]:
    """Every readable link, the one that was written last first."""
    found = []
    for folder in _link_folders(data):
        for name, age_s in _ages(folder):
            link = _read_link(os.path.join(folder, name))
            if link is not None:
                found.append((age_s, AgentLink(os.path.basename(folder), link)))
    return [link for _, link in sorted(found, key=lambda one: one[0])]


def link_stamps(data: str) -> tuple[tuple[str, int], ...]:
    """What is another value after a link was written, as `write_link` replaces its file."""
    stamps = []
    for folder in _link_folders(data):
        with contextlib.suppress(OSError):
            stamps.append((folder, os.stat(folder).st_mtime_ns))
    return tuple(stamps)


def _link_folders(data: str) -> list[str]:
    links = os.path.join(hooks_dir(data), "links")
    return sorted(os.path.join(links, agent) for agent in _names(links))


def maker_of(data: str, session: str) -> str | None:
    """The agent's own session id for which a hook started `session`; None where no hook started it."""
    return next((name for name, link in _links_to(data, session) if link.made), None)


def others_in(data: str, session: str, process: AgentProcess | None) -> list[AgentProcess]:
    """The other processes that use a session. A resumed conversation may be open in two of them."""
    used = {other: None for _, link in _links_to(data, session) for other in link.processes}
    return [other for other in used if other != process and other.may_live]


def _links_to(data: str, session: str) -> Iterator[tuple[str, SessionLink]]:
    """The links to a session, with the agent's own session id of each."""
    links = os.path.join(hooks_dir(data), "links")
    for agent in _names(links):
        for name in _names(os.path.join(links, agent)):
            link = _read_link(os.path.join(links, agent, name))
            if link is not None and link.session == session:
                yield name, link


def _read_link(path: str) -> SessionLink | None:
    try:
        lines = places.read(path, _LINK_BYTES_MAX).decode("utf-8", "replace").split("\n")
    except OSError:
        return None
    # A link is an agent's, and no agent is the operator.
    if len(lines) <= _LINK_LINES or not is_id(lines[0]) or lines[0] == OPERATOR:
        return None
    processes = (_process(line) for line in lines[_LINK_LINES:])
    made = lines[2] in ("made", "exported")
    return SessionLink(lines[0], lines[1] or None, made, lines[2] == "exported", tuple(filter(None, processes)))


def _process(line: str) -> AgentProcess | None:
    pid, _, start = line.partition(" ")
    if not pid.isdecimal() or len(pid) > 9 or not start:
        return None
    return AgentProcess(int(pid), None if start == _UNKNOWN else start)


def _delete_old(folder: str) -> None:
    for name, age_s in _ages(folder):
        if age_s > _KEPT_S:
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
