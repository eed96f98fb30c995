"""Waking: when a real broker makes and removes the wake file of an agent whose state files a test writes."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from maestro_clients.client import Client
from maestro_clients.protocol.callers import Caller
from maestro_runtime import hook_state, paths
from maestro_runtime.hook_state import HookState
from maestro_runtime.process_identity import pid_start
from maestro_schemas.texts.waking import CLAUDE_CODE, WOKEN
from support.post_office import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from maestro_schemas.documents import SendResultDoc
    from support.post_office import PostOffice


class Idler:
    """An agent's process with a session that can be woken, and its hooks."""

    def __init__(self, office: PostOffice, session: str = "bob") -> None:
        self.office = office
        self.session = session
        self.process = subprocess.Popen(["sleep", "600"])
        self.start = pid_start(self.process.pid)

    def begin(self, *, by: str = CLAUDE_CODE, **fields: Any) -> None:
        """What the hook at the agent's start does."""
        self.touch(agent="claude-code", pid=self.process.pid, pidStart=self.start, wakeBy=by, **fields)
        os.makedirs(os.path.dirname(self.file), exist_ok=True)
        self.sign("idle", event="SessionStart")

    def touch(self, **fields: Any) -> None:
        with Client(self.office.router(), Caller(self.session)) as own:
            own.touch_session(**fields)

    def sign(self, state: Any, *, event: str = "PostToolUse", detail: str | None = None) -> None:
        """Sign a state as a hook does."""
        path = hook_state.path(self.office.data, self.session)
        aside = f"{self.office.root}/state.{self.session}"
        hook_state.write(aside, HookState(state, event, "claude-code", self.process.pid, self.start, detail))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.rename(aside, path)

    def prompt(self, *, woken: bool = False) -> None:
        self.sign("working", event="UserPromptSubmit", detail=WOKEN if woken else None)

    @property
    def file(self) -> str:
        return os.path.join(paths.receiver_dir(self.office.data, self.session), ".wake")

    @property
    def content(self) -> str | None:
        """What the wake file says; None where there is none."""
        try:
            with open(self.file, encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def claim(self) -> None:
        """Wait for the wake and take it, as the agent's client does."""
        eventually(lambda: self.content is not None, "a wake")
        os.unlink(self.file)

    def turn(self) -> None:
        """Take a wake, bring the mail, and be idle again."""
        self.claim()
        self.prompt(woken=True)
        self.take()
        eventually(lambda: self.wake.get("state") != "woken", "the answer")
        self.sign("idle", event="Stop")

    def take(self) -> int:
        """Confirm what waits, as a hook does."""
        with Client(self.office.router(), Caller(self.session)) as own:
            ids = [message["id"] for message in own.inbox()["messages"]]
            own.confirm(ids, "delivered", via="hook:claude-code:UserPromptSubmit", woken_by=CLAUDE_CODE)
        return len(ids)

    @property
    def wake(self) -> dict[str, Any]:
        """What is shown of it."""
        with Client(self.office.router()) as operator:
            return dict(operator.session(self.session)["presence"].get("wake", {}))

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def bob(open_office: PostOffice) -> Iterator[Idler]:
    made = Idler(open_office)
    made.begin()
    yield made
    made.close()


def send(office: PostOffice, text: str = "hello", **metadata: Any) -> SendResultDoc:
    with office.client("ann") as ann:
        return ann.send("bob", text, **metadata)


def stays_away(bob: Idler) -> None:
    """A later send that reaches the policy shows that it has decided about the one before."""
    assert bob.content is None


def counted(office: PostOffice) -> dict[str, int]:
    with Client(office.router()) as operator:
        found: dict[str, int] = operator.stats()["wakes"]
        return found


def test_mail_to_an_idle_agent_makes_its_wake_file_and_a_confirmation_removes_it(
    open_office: PostOffice, bob: Idler
) -> None:
    result = send(open_office)
    assert (result["reach"], result["presence"]["wake"]) == ("wake", {"state": "ready", "by": CLAUDE_CODE})
    eventually(lambda: bob.content == "idle\n", "the wake file")
    assert bob.wake["state"] == "woken"
    assert send(open_office)["reach"] == "wake", "it comes with the same turn"
    assert bob.take() == 2
    eventually(lambda: bob.content is None, "the wake is answered")
    assert bob.wake["state"] == "ready"
    assert counted(open_office)["made"] == 1


def test_a_wake_that_was_accepted_before_a_kill_is_made_after_the_restart(
    open_office: PostOffice, bob: Idler
) -> None:
    bob.prompt()
    send(open_office)
    open_office.kill()
    bob.sign("idle", event="Stop")
    open_office.start()
    eventually(lambda: bob.content == "idle\n", "the wake file")


_ = signal
