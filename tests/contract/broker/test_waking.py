"""Waking: when a real broker makes and removes the wake file of an agent whose state files a test writes."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from maestro_clients.client import Client
from maestro_clients.mailbox.notices import Notices
from maestro_clients.processes.broker_process import find
from maestro_clients.protocol.callers import Caller
from maestro_runtime import hook_state, paths
from maestro_runtime.hook_state import HookState
from maestro_runtime.process_identity import pid_start
from maestro_schemas.names import OPERATOR
from maestro_schemas.texts.waking import CLAUDE_CODE, CODEX, WOKEN
from support.far_office import make_key, open_door
from support.post_office import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from maestro_schemas.documents import PresenceDoc, SendResultDoc, SessionDoc
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
        self.await_wake("ready", "held")
        self.sign("idle", event="Stop")

    def await_wake(self, *states: str) -> None:
        eventually(lambda: self.wake.get("state") in states, f"{states}")

    def await_file(self, content: str | None = "idle\n") -> None:
        eventually(lambda: self.content == content, f"a wake file with {content!r}")

    def await_turn_of_the_loop(self) -> None:
        """All that was committed or signed before has reached the policy: it wakes another idle agent."""
        other = Idler(self.office, f"probe{os.urandom(3).hex()}")
        try:
            self.office.session(other.session)
            other.begin()
            send(self.office, to=other.session)
            other.await_file()
        finally:
            other.close()

    def take(self) -> int:
        """Confirm what waits, as a hook does."""
        with Client(self.office.router(), Caller(self.session)) as own:
            ids = [message["id"] for message in own.inbox()["messages"]]
            own.confirm(ids, "delivered", via="hook:claude-code:UserPromptSubmit", woken_by=CLAUDE_CODE)
        return len(ids)

    @property
    def wake(self) -> dict[str, Any]:
        """What is shown of it."""
        return dict(presence(self).get("wake", {}))

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def bob(open_office: PostOffice) -> Iterator[Idler]:
    made = Idler(open_office)
    made.begin()
    yield made
    made.close()


@pytest.fixture
def quick(post_office: PostOffice) -> Iterator[Idler]:
    """An idle agent of a post office with small limits, and without caps."""
    post_office.environ |= {"MAESTRO_WAKE_MINUTE_LIMIT": "0", "MAESTRO_WAKE_GRACE": "1500ms"}
    post_office.environ |= {"MAESTRO_WAKE_AGAIN": "1500ms", "MAESTRO_WAKE_TURNS_MAX": "3"}
    post_office.start()
    post_office.sessions("ann", "bob")
    made = Idler(post_office)
    made.begin()
    yield made
    made.close()


def send(office: PostOffice, *, to: str | list[str] = "bob", by: str = "ann", **fields: Any) -> SendResultDoc:
    with Client(office.router(), Caller(by)) as sender:
        return sender.send(to, f"hello {os.urandom(4).hex()}", **fields)


def session_of(bob: Idler) -> SessionDoc:
    with Client(bob.office.router()) as operator:
        return operator.session(bob.session)


def presence(bob: Idler) -> PresenceDoc:
    return session_of(bob)["presence"]


def counted(office: PostOffice) -> dict[str, int]:
    with Client(office.router()) as operator:
        found: dict[str, int] = operator.stats()["wakes"]
        return found


def test_mail_to_an_idle_agent_makes_its_wake_file_and_a_confirmation_removes_it(
    open_office: PostOffice, bob: Idler
) -> None:
    result = send(open_office)
    assert (result["reach"], result["presence"]["wake"]) == ("wake", {"state": "ready", "by": CLAUDE_CODE})
    bob.await_file()
    assert os.stat(bob.file).st_mode & 0o777 == 0o600
    assert bob.wake["state"] == "woken"
    assert send(open_office)["reach"] == "wake", "it comes with the same turn"
    assert bob.take() == 2
    bob.await_file(None)
    assert bob.wake == {"state": "ready", "by": CLAUDE_CODE, "at": bob.wake["at"]}
    wakes = counted(open_office)
    assert (wakes["made"], wakes["answered"], wakes["sessions"], wakes["outstanding"]) == (1, 1, 1, 0)


def test_who_was_woken_for_a_message_is_in_its_receipt_and_in_the_audit(open_office: PostOffice, bob: Idler) -> None:
    sent = send(open_office)
    bob.turn()
    with Client(open_office.router()) as operator:
        assert operator.message(sent["id"])["wokenBy"] == CLAUDE_CODE
        [line] = operator.receipt(sent["id"])["recipients"]
        assert (line["wokenBy"], line["via"]) == (CLAUDE_CODE, "hook:claude-code:UserPromptSubmit")
        events = operator.events(0)["events"]
    assert [event.get("wokenBy") for event in events if event["event"] == "message.delivered"] == [CLAUDE_CODE]
    assert send(open_office)["reach"] == "wake"
    bob.take()


def test_an_agent_at_work_is_woken_when_it_is_idle_and_not_before(open_office: PostOffice, bob: Idler) -> None:
    for state in ("working", "waiting"):
        bob.sign(state)
        eventually(lambda state=state: presence(bob)["state"] == state, state)  # type: ignore[misc]
        assert send(open_office)["reach"] == "tool"
        bob.await_turn_of_the_loop()
        assert bob.content is None
        bob.sign("idle", event="Stop")
        bob.turn()


def test_a_turn_that_was_broken_off_is_woken_after_the_grace_time(quick: Idler) -> None:
    quick.prompt()
    send(quick.office)
    quick.await_file("any\n")


def test_mail_at_the_end_of_a_turn_is_brought_by_its_own_hook(open_office: PostOffice, bob: Idler) -> None:
    bob.prompt()
    send(open_office)
    bob.sign("idle", event="Stop")
    assert bob.take() == 1
    bob.await_turn_of_the_loop()
    assert counted(open_office)["made"] == 1, "the other agent's alone"


@pytest.mark.parametrize("is_claimed", [False, True])
def test_a_wake_without_an_answer_comes_once_more_and_then_is_given_up(quick: Idler, *, is_claimed: bool) -> None:
    send(quick.office)
    quick.await_file()
    first = os.stat(quick.file).st_mtime_ns
    if is_claimed:
        quick.claim()
    eventually(lambda: quick.content is not None and os.stat(quick.file).st_mtime_ns > first, "it comes once more")
    quick.await_wake("unanswered")
    quick.await_file(None)
    assert send(quick.office)["reach"] == "prompt"
    assert counted(quick.office)["unanswered"] == 1
    quick.sign("idle", event="Stop")
    quick.turn()
    assert quick.wake["state"] == "ready"


def test_the_cap_of_a_minute_defers_a_wake(post_office: PostOffice) -> None:
    post_office.start(wake_minute_limit=2)
    post_office.sessions("ann", "bob")
    bob = Idler(post_office)
    try:
        bob.begin()
        for _ in range(2):
            send(post_office)
            bob.turn()
        assert bob.wake["state"] == "held"
        assert (
            bob.wake["reason"]
            == "it was woken 2 times within a minute, and the limit is 2; the next wake waits for that"
        )
        result = send(post_office)
        assert (result["reach"], result["presence"]["wake"]["state"]) == ("prompt", "held")
        eventually(lambda: counted(post_office)["held"] == 1, "it is held back")
        assert bob.content is None
    finally:
        bob.close()


def test_the_brake_holds_until_a_person_writes_or_prompts(quick: Idler) -> None:
    for _ in range(3):
        send(quick.office)
        quick.turn()
    quick.await_wake("held")
    assert send(quick.office)["reach"] == "prompt"
    assert quick.content is None
    with Client(quick.office.router(), Caller(OPERATOR)) as person:
        person.send("bob", "please go on")
    quick.turn()
    for _ in range(2):
        send(quick.office)
        quick.turn()
    quick.await_wake("held")
    send(quick.office)
    quick.prompt()
    quick.await_wake("ready")
    quick.sign("idle", event="Stop")
    quick.await_file()


def test_a_prompt_of_a_person_makes_the_wake_void(open_office: PostOffice, bob: Idler) -> None:
    send(open_office)
    bob.await_file()
    bob.prompt()
    bob.await_file(None)
    bob.await_wake("ready")
    assert bob.take() == 1
    assert counted(open_office)["void"] == 1


def test_a_session_that_wants_no_wake(open_office: PostOffice, bob: Idler) -> None:
    bob.touch(wake="off")
    result = send(open_office)
    off = {"state": "off", "by": CLAUDE_CODE, "reason": "it is switched off for this session"}
    assert (result["reach"], result["presence"]["wake"]) == ("prompt", off)
    bob.await_turn_of_the_loop()
    assert bob.content is None
    bob.touch(wake="idle")
    bob.await_file()
    bob.touch(wakeBy="")
    bob.await_file(None)
    assert (bob.wake["state"], "maestro hooks install claude-code" in bob.wake["reason"]) == ("off", True)
    assert send(open_office)["reach"] == "prompt"


@pytest.mark.parametrize(
    ("fields", "to"),
    [({"priority": "low"}, "bob"), ({"priority": "low", "type": "request"}, "bob"), ({}, ["bob", "cyd"])],
)
def test_low_and_quiet_mail_wakes_no_agent(
    open_office: PostOffice, bob: Idler, fields: dict[str, str], to: str | list[str]
) -> None:
    open_office.session("cyd")
    result = send(open_office, to=to, metadata=fields)
    reach = result["reach"] if isinstance(to, str) else result["recipients"][0]["reach"]
    assert reach == "prompt"
    bob.await_turn_of_the_loop()
    assert bob.content is None
    open_office.stop()
    open_office.start()
    bob.await_turn_of_the_loop()
    assert bob.content is None, "nor after a restart"
    assert send(open_office, to=to, metadata={"priority": "high"})["status"] == 201
    bob.await_file()


def test_an_agent_that_has_left_or_was_killed(open_office: PostOffice, bob: Idler) -> None:
    bob.sign("left", event="SessionEnd")
    eventually(lambda: presence(bob)["state"] != "idle", "it has left")
    send(open_office)
    bob.await_turn_of_the_loop()
    assert bob.content is None
    bob.sign("idle", event="SessionStart")
    bob.await_file()
    bob.process.kill()
    bob.await_file(None)
    assert presence(bob)["state"] == "gone"
    assert bob.wake == {}


def test_an_ended_session(open_office: PostOffice, bob: Idler) -> None:
    send(open_office)
    bob.await_file()
    with Client(open_office.router(), Caller("bob")) as own:
        own.end_session()
    bob.await_file(None)
    assert counted(open_office)["sessions"] == 0


def test_a_watcher_has_time_to_take_the_mail(open_office: PostOffice, bob: Idler) -> None:
    found = find(open_office.data)
    assert found is not None
    with contextlib.closing(Notices(found.notices, "bob")):
        eventually(lambda: session_of(bob).get("watching", False), "it is watched")
        began_s = time.monotonic()
        assert send(open_office)["reach"] == "watching"
        bob.await_file()
        assert time.monotonic() - began_s > 4.5
    bob.take()
    bob.await_file(None)


@pytest.mark.parametrize("order", ["prompt first", "idle first"])
def test_a_wake_that_was_due_at_a_kill_is_made_after_the_restart(
    open_office: PostOffice, bob: Idler, order: str
) -> None:
    """The mailbox is not in memory then: it is read to know whether mail waits that wakes."""
    bob.prompt()
    send(open_office, metadata={"priority": "low"})
    send(open_office)
    open_office.kill()
    if order == "idle first":
        bob.sign("idle", event="Stop")
    open_office.start()
    if order == "prompt first":
        bob.await_turn_of_the_loop()
        assert bob.content is None
        bob.sign("idle", event="Stop")
    bob.await_file()


def test_a_wake_file_of_an_earlier_broker_goes_where_no_mail_waits(open_office: PostOffice, bob: Idler) -> None:
    send(open_office)
    bob.await_file()
    open_office.kill()
    open_office.start()
    bob.await_file()
    bob.take()
    bob.await_file(None)
    open_office.kill()
    for session in ("ann", "bob"):
        with open(os.path.join(paths.receiver_dir(open_office.data, session), ".wake"), "w", encoding="utf-8"):
            pass
    open_office.start()
    assert bob.content is None
    assert not os.path.exists(os.path.join(paths.receiver_dir(open_office.data, "ann"), ".wake"))


@pytest.mark.parametrize("kind", ["fifo", "folder", "link", "full folder"])
def test_what_stands_in_the_place_of_the_file(open_office: PostOffice, bob: Idler, kind: str) -> None:
    if kind == "fifo":
        os.mkfifo(bob.file)
    elif kind == "link":
        os.symlink(f"{open_office.root}/elsewhere", bob.file)
    else:
        os.mkdir(bob.file)
        if kind == "full folder":
            os.mkdir(f"{bob.file}/more")
    send(open_office)
    if kind == "full folder":
        eventually(lambda: "wake file could not be made" in bob.wake.get("reason", ""), "the reason")
        assert counted(open_office)["failed"] == 1
    else:
        eventually(lambda: os.path.isfile(bob.file) and bob.content == "idle\n", "the file")
        assert not os.path.exists(f"{open_office.root}/elsewhere")
    assert bob.take() == 1


def test_a_mailbox_without_its_folder(open_office: PostOffice, bob: Idler) -> None:
    bob.prompt()
    send(open_office)
    with Client(open_office.router()) as operator:
        eventually(lambda: operator.stats()["filingBacklog"] == 0, "it is filed")
    folder = os.path.dirname(bob.file)
    os.rename(folder, f"{folder}.away")
    bob.sign("idle", event="Stop")
    eventually(lambda: "No such file" in bob.wake.get("reason", ""), "the reason")
    os.rename(f"{folder}.away", folder)
    bob.prompt()
    bob.sign("idle", event="Stop")
    bob.await_file()


@pytest.mark.parametrize("content", [b"", b"idle\n", b"\xff\xfe\0", b"dancing\nStop claude-code 1 - -\n"])
def test_a_state_file_with_something_else_in_it(open_office: PostOffice, bob: Idler, content: bytes) -> None:
    path = hook_state.path(open_office.data, "bob")
    with open(path, "wb") as file:
        file.write(content)
    eventually(lambda: bob.wake.get("state") == "held", "no sign")
    assert bob.wake["reason"] == "no hook of its agent has signed yet what it does"
    assert send(open_office)["reach"] == "prompt"
    bob.await_turn_of_the_loop()
    assert bob.content is None
    bob.sign("idle", event="Stop")
    bob.await_file()


def test_where_signs_are_not_noticed_no_agent_is_woken(post_office: PostOffice) -> None:
    """As on macOS, and on Linux without an inotify watch left."""
    post_office.start()
    post_office.stop()
    folder = os.path.dirname(hook_state.path(post_office.data, "bob"))
    os.rmdir(folder)
    os.symlink("/dev/null", folder)
    post_office.start()
    post_office.sessions("ann", "bob")
    bob = Idler(post_office)
    try:
        bob.touch(agent="claude-code", pid=bob.process.pid, pidStart=bob.start, wakeBy=CLAUDE_CODE)
        wake = send(post_office)["presence"]["wake"]
        assert (wake["state"], wake["by"]) == ("off", CLAUDE_CODE)
        assert wake["reason"].startswith("changes of agents' states are not noticed: ")
        assert bob.content is None
        os.unlink(folder)
        post_office.stop()
        post_office.start()
        bob.sign("idle", event="Stop")
        bob.await_file()
    finally:
        bob.close()


def test_a_session_of_another_machine(post_office: PostOffice) -> None:
    """Its agent and its files are there and not here."""
    address = open_door(post_office)
    key = make_key(post_office, "laptop", own=True)
    post_office.start()
    post_office.session("ann")
    with Client(f"{address}#{key}") as far:
        far.start_session("bob", token="t" * 40, agent="claude-code", wake_by=CLAUDE_CODE)
    result = send(post_office)
    off = {"state": "off", "by": CLAUDE_CODE, "reason": "its agent is on another machine"}
    assert (result["reach"], result["presence"]["wake"]) == ("prompt", off)
    assert counted(post_office)["sessions"] == 0


def test_a_wake_that_a_command_of_the_broker_carries_out(open_office: PostOffice) -> None:
    bob = Idler(open_office)
    try:
        bob.begin(by=CODEX)
        send(open_office)
        eventually(lambda: bob.wake.get("reason") is not None, "the outcome")
        assert bob.wake["by"] == CODEX
    finally:
        bob.close()


def test_status_has_the_limits_and_the_counts(open_office: PostOffice) -> None:
    with Client(open_office.router()) as operator:
        stats = operator.stats()
    assert {name for name in stats["limits"] if name.startswith("wake_")} == {
        "wake_grace_ms", "wake_again_ms", "wake_minute_limit", "wake_hour_limit", "wake_turns_max",
    }  # fmt: skip
    names = ("sessions", "outstanding", "made", "answered", "void", "unanswered", "held", "failed")
    assert {name: stats["wakes"][name] for name in names} == dict.fromkeys(names, 0)
