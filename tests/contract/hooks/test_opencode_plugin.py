"""OpenCode's plugin: what it gives a conversation, when it begins a turn, and when it keeps quiet.

Rule: the plugin, the hooks and the broker are real. Only for OpenCode a program stands (`support/opencode_host.mjs`).
`tests/agents/test_opencode.py` has the real one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from maestro_schemas.texts.waking import NOTICE, OPENCODE
from support import components
from support.post_office import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.cli_shell import Shell

HOST = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(__file__))), "support", "opencode_host.mjs")
OWN = "ses_dd4109e0dffeFbBChMpCCmXtXW"
CHILD = "ses_dd4109e0dffeFbBChMpCCchild"


class Host:
    """A running stand-in for OpenCode, with the plugin as it was installed."""

    def __init__(self, person: Shell, *words: str) -> None:
        home = os.path.join(person.root, "home")
        os.makedirs(home, exist_ok=True)
        self.person = person.like(HOME=home, XDG_CONFIG_HOME="", OPENCODE_CONFIG_DIR="")
        self.person.done("hooks", "install", "opencode")
        self.colleague = self.person.session("colleague", role="orchestrator")
        plugin = os.path.join(home, ".config/opencode/plugin/maestro.js")
        # As OpenCode loads it: a module, whatever its name says.
        module = os.path.join(home, "maestro.mjs")
        if not os.path.exists(module):
            os.symlink(plugin, module)
        command = ["node", "--preserve-symlinks", HOST, module, person.root, CHILD, *words]
        path = os.pathsep.join((os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)))
        self.process = subprocess.Popen(
            command,
            env={**self.person.environ, "PATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.prompts: list[dict[str, Any]] = []
        self.begun = self._next("hooks")

    def call(self, call: str, session: str = OWN, **given: Any) -> dict[str, Any]:
        """Call the plugin; what is left of the call."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"call": call, "id": session, **given}) + "\n")
        self.process.stdin.flush()
        return self._next("done")

    def prompt(self, text: str, session: str = OWN) -> str:
        """A prompt of a person; the text that the plugin adds."""
        return "\n".join(part["text"] for part in self.call("message", session, text=text)["parts"])

    def event(self, kind: str, **more: Any) -> None:
        self.call("event", type=kind, **more)

    def await_prompt(self) -> dict[str, Any]:
        """The next prompt that the plugin asks for."""
        while not self.prompts:
            self._next("prompted")
        return self.prompts.pop(0)

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()

    def _next(self, key: str) -> dict[str, Any]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            found: dict[str, Any] = json.loads(line)
            if "prompted" in found:
                self.prompts.append(found)
            if key in found:
                return found
        raise AssertionError(f"the host has ended without {key!r}")


@pytest.fixture
def host(person: Shell) -> Iterator[Host]:
    components.require_tools("node")
    found = Host(person)
    try:
        yield found
    finally:
        found.close()


def session_of(host: Host) -> Any:
    with host.person.client() as client:
        [found] = [one for one in client.sessions() if one.get("agent") == "opencode"]
        return client.session(found["id"])


def mail(host: Host, text: str) -> None:
    """Send to the agent's session, and wait until a hook would find that."""
    own = session_of(host)["id"]
    with host.colleague.client() as client:
        client.send(own, text)
    marker = os.path.join(host.person.data, "messages", "by-receiver", own, ".pending")
    eventually(lambda: os.path.exists(marker), "mail")


def state_of(host: Host) -> str:
    return str(session_of(host)["presence"]["state"])


def test_a_conversation_gets_a_session_at_its_first_prompt(host: Host) -> None:
    assert "chat.message" in host.begun["hooks"]
    assert host.begun["second"] == [], "a second copy does nothing"
    said = host.prompt("Go on.")
    assert f"You are {session_of(host)['name']}, a worker, " in said
    assert f"MAESTRO_SESSION_LINK=opencode/{OWN}" in said
    assert session_of(host)["agentSessionId"] == OWN
    assert state_of(host) == "working"
    assert host.prompt("And now?") == ""
    assert host.call("env")["env"] == {"OPENCODE_SESSION_ID": OWN}
    host.call("dispose")
    assert session_of(host)["status"] == "completed"


def test_mail_is_shown_once_after_a_tool_and_at_a_prompt(host: Host) -> None:
    host.prompt("Go on.")
    mail(host, "one")
    shown = host.call("tool", output="a.py")["output"]
    assert shown.startswith("a.py\n\n")
    assert "| one" in shown
    assert host.call("tool", output="a.py")["output"] == "a.py"
    assert host.call("tool", output=["no text"])["output"] == ["no text"]
    mail(host, "two")
    assert "| two" in host.prompt("And now?")


def test_mail_at_the_end_begins_another_turn_three_times(host: Host) -> None:
    host.prompt("Go on.")
    for number in range(3):
        mail(host, f"number {number}")
        host.event("session.idle")
        asked = host.await_prompt()
        assert f"| number {number}" in asked["text"]
        assert asked["agent"] == "plan", "the agent that the person has chosen"
        assert host.prompt(asked["text"]) == ""
    mail(host, "one too many")
    host.event("session.idle")
    assert host.prompts == []


def test_mail_wakes_an_idle_conversation_once(host: Host) -> None:
    host.prompt("Go on.")
    host.event("session.idle")
    eventually(lambda: session_of(host)["presence"].get("wake") == {"state": "ready", "by": OPENCODE}, "ready")
    mail(host, "wake up")
    asked = host.await_prompt()
    assert (asked["text"], asked["prompted"]) == (NOTICE, OWN)
    assert "| wake up" in host.prompt(asked["text"])
    host.event("session.idle")
    assert host.prompts == []
    eventually(lambda: session_of(host)["presence"]["wake"]["state"] == "ready", "answered")


@pytest.mark.parametrize("status", ["busy", "retry"])
def test_a_wake_is_left_alone_while_a_turn_runs(host: Host, status: str) -> None:
    host.prompt("Go on.")
    host.event("session.idle")
    own = session_of(host)["id"]
    host.event("session.status", status={"type": status})
    mail(host, "later")
    file = os.path.join(host.person.data, "messages", "by-receiver", own, ".wake")
    eventually(lambda: os.path.exists(file), "a wake that is due", 20.0)
    assert "| later" in host.call("tool", output="a.py")["output"]
    assert host.prompts == []


def test_a_turn_that_a_person_breaks_off_does_not_go_on(host: Host) -> None:
    host.prompt("Go on.")
    host.person.done("wake", session_of(host)["id"], "--off")
    mail(host, "not now")
    host.event("session.error", error={"name": "MessageAbortedError"})
    host.event("session.idle")
    assert host.prompts == []
    assert state_of(host) == "idle"
    assert "| not now" in host.prompt("Go on, then.")


def test_a_permission_is_waited_for(host: Host) -> None:
    host.prompt("Go on.")
    host.event("permission.asked", permission="bash")
    presence = session_of(host)["presence"]
    assert (presence["state"], presence["detail"]) == ("waiting", "permission:bash")


def test_a_subagent_gets_nothing(host: Host) -> None:
    host.prompt("Go on.")
    mail(host, "for the agent")
    assert host.prompt("A part of it.", CHILD) == ""
    assert host.call("tool", CHILD, output="a.py")["output"] == "a.py"
    assert "| for the agent" in host.call("tool", output="a.py")["output"]


def test_opencode_run_ends_with_its_turn(person: Shell) -> None:
    components.require_tools("node")
    host = Host(person, "run")
    try:
        host.prompt("Go on.")
        mail(host, "too late")
        host.event("session.idle")
        assert host.prompts == []
        assert state_of(host) == "idle"
        assert "wakeBy" not in session_of(host)
        assert "| too late" in host.prompt("And now?")
    finally:
        host.close()
