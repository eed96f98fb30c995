"""Agent processes: a process that calls the installed hooks as an agent does, as the parent of each.

Rule: the process is real, so its pid and its end are what the hooks' state files and the broker see.
"""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

from maestro_cli.hooks.state_files import read_link
from support.agent_forms import said
from support.hook_calls import installed_line

if TYPE_CHECKING:
    from support.cli_shell import Shell


class Agent:
    """A process that calls hooks as an agent does: it is the parent of each hook."""

    def __init__(self, shell: Shell, name: str, own_id: str = "", interpreter: str = "") -> None:
        self.shell = shell
        self.name = name
        self.own_id = own_id or f"agent-{os.urandom(8).hex()}"
        self.interpreter = interpreter
        self.process = subprocess.Popen(
            ["/bin/sh"],
            env=shell.environ,
            cwd=shell.root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def hook(self, event: str, raw: bytes | None = None, **more: Any) -> str:
        """Call a hook; what it prints. It must succeed and leave standard error empty."""
        line = installed_line(self.shell.data, self.name, event)
        if self.interpreter:
            line = line.replace("/bin/sh", self.interpreter)
        payload = raw or json.dumps(said(self.name, event, session_id=self.own_id, **more)).encode()
        given = os.path.join(self.shell.root, f"in-{self.own_id}")
        with open(given, "wb") as file:
            file.write(payload)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f'/bin/sh -c {word(line)} < {given} 2>&1; echo; echo "done $?"\n'.encode())
        self.process.stdin.flush()
        lines: list[bytes] = []
        while not lines or not lines[-1].startswith(b"done "):
            lines.append(self.process.stdout.readline())
            assert lines[-1], "the agent has ended"
        assert lines[-1] == b"done 0\n"
        return b"".join(lines[:-1]).decode().strip()

    def start(self, source: str = "startup") -> str:
        """Begin a session; its Maestro session."""
        self.hook("SessionStart", source=source)
        link = read_link(self.shell.data, self.name, self.own_id)
        assert link is not None
        return link.session

    def end(self) -> None:
        """The end in order."""
        assert self.hook("SessionEnd") == ""
        self.kill()

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.communicate()


def word(line: str) -> str:
    """A text as one word of a shell."""
    return "'" + line.replace("'", "'\\''") + "'"
