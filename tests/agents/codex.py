"""Codex: how it is started without a person, on a scratch HOME, with a stand-in for its model.

Rule: this module holds only the peculiarities of Codex; `clients` finds the program and runs it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from typing import Any

from agents import openai_api
from maestro_runtime.process_identity import is_alive
from support.post_office import eventually

NAME = "codex"
PACKAGE = "@openai/codex"
API = openai_api
SHELL_TOOL = "exec_command"
# The binary itself: the package's own command is a script that starts it, and that may end before it does.
PROGRAM = "@openai/codex-*/vendor/*/bin/codex"
SETTINGS = ".codex/hooks.json"

_APPROVAL_S_MAX = 60.0
_END_S_MAX = 10.0
_CONFIG = """\
model = "gpt-stand-in"
model_provider = "stand-in"
approval_policy = "never"
sandbox_mode = "danger-full-access"
check_for_update_on_startup = false

# The first two send requests to other hosts at the start. The third is a process that goes on after the client.
[features]
plugins = false
apps = false
daemon_auto_start = false

[analytics]
enabled = false

[model_providers.stand-in]
name = "stand-in"
base_url = "{url}/v1"
wire_api = "responses"
env_key = "STAND_IN_KEY"
supports_websockets = false
"""


def shell_call(command: str) -> dict[str, str]:
    """The arguments of a call of its shell tool."""
    return {"cmd": command}


def environ(url: str) -> dict[str, str]:
    """The environment that it needs beside its settings."""
    return {"STAND_IN_KEY": "dummy"}


def prepare(home: str, url: str) -> None:
    """Write its settings: the scripted model as provider, and no request to other hosts."""
    os.makedirs(os.path.join(home, ".codex"))
    with open(os.path.join(home, ".codex", "config.toml"), "w", encoding="utf-8") as file:
        file.write(_CONFIG.format(url=url))


def use_daemon(home: str) -> None:
    """Let its screens be served by its daemon, as they are where a user has set nothing."""
    path = os.path.join(home, ".codex", "config.toml")
    with open(path, encoding="utf-8") as file:
        settings = file.read()
    with open(path, "w", encoding="utf-8") as file:
        file.write(settings.replace("daemon_auto_start = false\n", ""))


def end_daemon(home: str) -> None:
    """End the daemon of this HOME, and the process that updates it."""
    for name in ("daemon-updater.pid", "daemon.pid"):
        path = os.path.join(home, ".codex", "app-server-daemon", name)
        with contextlib.suppress(FileNotFoundError, ProcessLookupError), open(path, encoding="utf-8") as file:
            _end(json.load(file)["pid"])


def _end(pid: int) -> None:
    # In order first, so that it removes its socket in the machine's directory for temporary files.
    os.kill(pid, signal.SIGTERM)
    try:
        eventually(lambda: is_alive(pid, None) is False, f"the end of {pid}", _END_S_MAX)
    except AssertionError:
        os.kill(pid, signal.SIGKILL)


def approve(program: list[str], environ: dict[str, str], work: str) -> None:
    """Trust the hooks that it lists, as a person does after a review; it runs no others."""
    with subprocess.Popen(
        [*program, "app-server"],
        env=environ,
        cwd=work,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        calls = _Calls(server)
        try:
            calls.ask("initialize", {"clientInfo": {"name": "tests", "title": "tests", "version": "1"}})
            listed = calls.ask("hooks/list", {"cwds": [work]})
            hooks = [hook for place in listed["data"] for hook in place["hooks"]]
            trusted = {hook["key"]: {"trusted_hash": hook["currentHash"]} for hook in hooks}
            edit = {"keyPath": "hooks.state", "value": trusted, "mergeStrategy": "upsert"}
            calls.ask("config/batchWrite", {"edits": [edit]})
            calls.end()
        finally:
            server.kill()


def prompt(text: str, resume: str | None) -> list[str]:
    """The arguments for one turn of the conversation, or of an earlier one."""
    return ["exec", *(["resume", resume] if resume else []), "--skip-git-repo-check", text]


def ask_person(home: str, work: str) -> None:
    """Let it ask before a command leaves the sandbox, and trust the folder."""
    path = os.path.join(home, ".codex", "config.toml")
    with open(path, encoding="utf-8") as file:
        settings = file.read()
    settings = settings.replace('"never"', '"on-request"').replace('"danger-full-access"', '"read-only"')
    with open(path, "w", encoding="utf-8") as file:
        file.write(f'{settings}\n[projects.{json.dumps(work)}]\ntrust_level = "trusted"\n')


def interactive(text: str, *more: str) -> list[str]:
    """The arguments for its screen, with a first prompt, if any, and `more`."""
    return [*more, *([text] if text else [])]


def asking_call(command: str) -> dict[str, Any]:
    """The arguments of a call of its shell tool for which a person is asked."""
    return {"cmd": command, "sandbox_permissions": "require_escalated", "justification": "It writes a file."}


class _Calls:
    """Calls to an app-server, one at a time, a JSON object a line."""

    def __init__(self, server: subprocess.Popen[str]) -> None:
        self._server = server
        self._number = 0

    def ask(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """The result of a call; notifications of the server are skipped."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._number += 1
        call = {"id": self._number, "method": method, "params": parameters}
        self._server.stdin.write(json.dumps(call) + "\n")
        self._server.stdin.flush()
        for line in self._server.stdout:
            reply = json.loads(line)
            if reply.get("id") == self._number:
                assert "result" in reply, reply
                result: dict[str, Any] = reply["result"]
                return result
        raise AssertionError(f"codex app-server ended instead of answering {method}")

    def end(self) -> None:
        """Close its input; it then ends."""
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait(_APPROVAL_S_MAX)
