"""Users: commands and functions that a test runs as another user of the machine.

Rule: the other user is real: the kernel's user and group ids, no groups, a home of its own with mode 0700. Only root
can start such processes, so a test that needs one is skipped with its reason elsewhere, and fails in CI.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from maestro_schemas.errors import MaestroError

from . import scratch_dirs
from .post_office import end_process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Ids without an entry in the user database, so no account of this machine is concerned.
_FIRST_UID = 61_001
COMMAND_S_MAX = 60.0

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class OtherUser:
    """One user. `uid` and `gid` are equal; `home`: its directory; `python`: a Python that it can run; `environ`: what
    its processes get, and a test may change it."""

    def __init__(self, uid: int, python: str) -> None:
        self.uid = self.gid = uid
        self.python = python
        # Short, because sockets below it must fit into a Unix address; its parent may be entered by every user.
        self.home = scratch_dirs.make(f"mm-{uid}-", "/tmp")
        os.chown(self.home, uid, uid)
        self.environ = {
            "PATH": os.pathsep.join((os.path.dirname(python), os.defpath)),
            "HOME": self.home,
            "LANG": "C.UTF-8",
            "MAESTRO_HTTP": "0",
            **_import_path(python),
        }
        self._started: list[subprocess.Popen[bytes]] = []

    def path(self, *names: str) -> str:
        """A path in its home."""
        return os.path.join(self.home, *names)

    def run(self, *command: str, stdin: bytes = b"", **environ: str) -> subprocess.CompletedProcess[str]:
        """Run a command as this user, in its home, and wait. `environ`: more variables."""
        done = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            timeout=COMMAND_S_MAX,
            check=False,
            **self._options(environ),
        )
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    def maestro(self, *arguments: str, stdin: bytes = b"", **environ: str) -> subprocess.CompletedProcess[str]:
        """Run `maestro ARGUMENTS` as this user."""
        return self.run(self.python, "-m", "maestro_cli", *arguments, stdin=stdin, **environ)

    def start(self, *command: str, environ: dict[str, str] | None = None, **options: Any) -> subprocess.Popen[bytes]:
        """Start a command as this user and don't wait; it is killed at the end of the test."""
        streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen(command, **{**streams, **options}, **self._options(environ or {}))
        self._started.append(process)
        return process

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function in a process of this user; what it returns or raises comes back. Both must be picklable,
        and the function must import nothing that is not imported yet."""
        read_fd, write_fd = os.pipe()
        child = os.fork()
        if child == 0:
            outcome: tuple[str, Any]
            try:
                os.close(read_fd)
                os.setgroups([])
                os.setresgid(self.gid, self.gid, self.gid)
                os.setresuid(self.uid, self.uid, self.uid)
                outcome = "returned", function(*arguments)
            except MaestroError as error:  # it can't be pickled
                outcome = "refused", error.body()
            except BaseException as error:  # noqa: BLE001 - it is raised again in the parent
                outcome = "raised", error
            try:
                with os.fdopen(write_fd, "wb") as pipe:
                    pickle.dump(outcome, pipe)
            finally:
                os._exit(0)
        os.close(write_fd)
        with os.fdopen(read_fd, "rb") as pipe:
            written = pipe.read()
        os.waitpid(child, 0)
        how, result = pickle.loads(written)  # of our own process
        if how == "refused":
            raise MaestroError.from_body(result)
        if how == "raised":
            raise result
        return result

    def close(self) -> None:
        """End its processes and remove its home."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.communicate()
        # A broker that a command started is no child of this process.
        for directory, _, names in os.walk(self.home):
            for name in {"broker.lock", "gateway.lock"}.intersection(names):
                with open(os.path.join(directory, name), encoding="ascii") as file:
                    pid, _, _ = file.read().strip().partition(" ")
                if pid.isdecimal() and _owner(int(pid)) == self.uid:
                    end_process(int(pid))
        scratch_dirs.remove(self.home)

    def _options(self, environ: dict[str, str]) -> dict[str, Any]:
        return {
            "user": self.uid,
            "group": self.gid,
            "extra_groups": [],
            "umask": 0o022,
            "cwd": self.home,
            "env": {**self.environ, **environ},
        }


@contextlib.contextmanager
def new_users(count: int = 1) -> Iterator[list[OtherUser]]:
    """So that a test has `count` other users; it is skipped, or fails in CI, where that can't be."""
    python, why = _python()
    if why and os.environ.get("CI"):
        pytest.fail(why)
    if why:
        pytest.skip(why)
    users = [OtherUser(_FIRST_UID + number, python) for number in range(count)]
    try:
        yield users
    finally:
        for user in users:
            user.close()


def _python() -> tuple[str, str]:
    """A Python with the product that another user can run; the reason where there is none."""
    if os.geteuid() != 0:
        return "", "another user of the machine is needed, and only root can start its processes"
    system = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    whys = []
    # The Python of these tests may be in root's home, where no other user comes in.
    for python in (sys.executable, system):
        try:
            done = subprocess.run(
                [python, "-c", "import maestro_cli, zmq, msgspec"],
                user=_FIRST_UID,
                group=_FIRST_UID,
                extra_groups=[],
                cwd="/",
                env=_import_path(python),
                capture_output=True,
                check=False,
            )
        except OSError as error:
            whys.append(f"another user can't run {python}: {error.strerror} (here, or a directory above it)")
            continue
        if done.returncode == 0:
            return python, ""
        whys.append(f"another user's {python}: {done.stderr.decode().strip().splitlines()[-1:]}")
    return "", "; ".join(whys)


def _import_path(python: str) -> dict[str, str]:
    """What a Python outside the tests' environment needs to import the product."""
    if python == sys.executable:
        return {}
    ours = (path for path in sys.path if path.startswith(_ROOT) and "tests" not in path)
    return {"PYTHONPATH": os.pathsep.join(ours), "PYTHONDONTWRITEBYTECODE": "1"}


def _owner(pid: int) -> int | None:
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return None
