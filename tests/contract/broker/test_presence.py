"""Presence: each change of what is known of a session is a notice at once, from real files and real processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest
import zmq

from maestro_clients.client import Client
from maestro_clients.mailbox.notices import Notices
from maestro_clients.processes.broker_process import find
from maestro_clients.protocol.callers import Caller
from maestro_runtime import hook_state
from maestro_runtime.hook_state import HookState
from maestro_runtime.process_identity import pid_start
from maestro_schemas.errors import MaestroError
from support.post_office import PostOffice, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from maestro_schemas.documents import EventDoc, SessionPresenceDoc


class Observer:
    """A subscriber to everything; its subscription is in force."""

    def __init__(self, office: PostOffice) -> None:
        found = find(office.data)
        assert found is not None
        self._notices = Notices(found.notices, None)
        # The head of a later subscription proves that the first one is in force.
        self._notices.socket.setsockopt(zmq.SUBSCRIBE, b"~probe|")
        self.all: list[EventDoc] = []
        eventually(lambda: any(event["event"] == "head" for event in self.drained()), "the head")
        self.all.clear()

    def drained(self) -> list[EventDoc]:
        self.all += self._notices.drain()
        return self.all

    def presence(self, session: str = "bob") -> list[EventDoc]:
        """The notices of a session's presence so far."""
        return [
            event
            for event in self.drained()
            if event["event"] == "session.presence" and event.get("session") == session
        ]

    def states(self, session: str = "bob") -> list[str]:
        return [event["status"] for event in self.presence(session)]

    def await_states(self, *states: str, session: str = "bob") -> None:
        """Wait until exactly these notices of a session came, since the last call."""
        try:
            eventually(lambda: len(self.states(session)) >= len(states), f"{states}")
        finally:
            found, self.all = self.states(session), []
        assert found == list(states)

    def close(self) -> None:
        self._notices.close()


class Agent:
    """A process of an agent, which signs the state of its session as its hooks do."""

    def __init__(self, office: PostOffice, session: str = "bob") -> None:
        self.office = office
        self.session = session
        self.process = subprocess.Popen(["sleep", "600"])
        self.start = pid_start(self.process.pid)

    def begin(self) -> None:
        """Let the session belong to this process; it is started where it has ended."""
        with Client(self.office.router()) as operator:
            if self.session not in {line["session"] for line in operator.presence()}:
                operator.start_session(self.session)
        with Client(self.office.router(), Caller(self.session)) as own:
            own.touch_session(agent="codex", pid=self.process.pid, pidStart=self.start)

    def sign(self, state: str, detail: str | None = None) -> None:
        path = hook_state.path(self.office.data, self.session)
        hook_state.write(path, HookState(state, "Event", "codex", self.process.pid, self.start, detail))  # type: ignore[arg-type]

    def kill(self) -> None:
        """SIGKILL, without waiting: it is a zombie until `close`."""
        self.process.kill()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def observer(open_office: PostOffice) -> Iterator[Observer]:
    made = Observer(open_office)
    yield made
    made.close()


@pytest.fixture
def agent(open_office: PostOffice) -> Iterator[Agent]:
    made = Agent(open_office)
    yield made
    made.close()


def lines(office: PostOffice, session: str | None = None) -> dict[str, SessionPresenceDoc]:
    with Client(office.router(), Caller(session)) as client:
        return {line["session"]: line for line in client.presence()}


def test_each_sign_is_a_notice_at_once_and_the_same_sign_again_is_none(
    open_office: PostOffice, observer: Observer, agent: Agent
) -> None:
    agent.begin()
    agent.sign("idle")
    observer.await_states("idle")
    agent.sign("working")
    agent.sign("working")
    observer.await_states("working")
    agent.sign("waiting", "permission:Bash")
    eventually(lambda: observer.states() == ["waiting"], "waiting")
    [event] = observer.presence()
    with Client(open_office.router()) as operator:
        head = operator.hello()["headLsn"]
        sign_ms = operator.session("bob")["presence"]["since"]
        recorded = operator.events(0)["events"]
    assert event == {
        "lsn": head,
        "at": event["at"],
        "event": "session.presence",
        "session": "bob",
        "projectId": "default",
        "status": "waiting",
        "since": sign_ms,
        "by": "hook",
        "detail": "permission:Bash",
    }
    assert not [one for one in recorded if one["event"] == "session.presence"], "it is no line of the timeline"
    agent.sign("waiting", "permission:Edit")
    observer.await_states("waiting", "waiting")
    agent.sign("working")
    observer.await_states("working")


def test_a_killed_process_is_noticed_at_once_and_no_other_is_asked(observer: Observer, agent: Agent) -> None:
    agent.begin()
    agent.sign("working")
    observer.await_states("working")
    agent.kill()
    eventually(lambda: observer.states() == ["gone"], "gone, while it is a zombie")
    [event] = observer.presence()
    assert (event["by"], "since" in event) == ("process", True)


def test_the_agent_in_a_shell_may_end_before_the_shell(
    open_office: PostOffice, observer: Observer, agent: Agent
) -> None:
    """Both processes are watched; the session is gone when the second one has ended."""
    shell = Agent(open_office)
    try:
        shell.begin()
        agent.sign("working")
        observer.await_states("working")
        agent.kill()
        observer.await_states("unknown")
        shell.kill()
        observer.await_states("gone")
    finally:
        shell.close()


def test_the_end_of_a_session_and_its_next_start(open_office: PostOffice, observer: Observer, agent: Agent) -> None:
    agent.begin()
    agent.sign("idle")
    observer.await_states("idle")
    with Client(open_office.router()) as operator:
        operator.end_session("bob")
    observer.await_states("ended")
    agent.begin()
    # The sign is older than this start by less than two clocks may differ.
    eventually(lambda: bool(observer.states()), "the start")
    agent.sign("left")
    eventually(lambda: observer.states()[-1] == "unknown", "left")


def test_a_subscription_and_its_end_are_changes(open_office: PostOffice, observer: Observer) -> None:
    found = find(open_office.data)
    assert found is not None
    watcher = Notices(found.notices, "bob")
    observer.await_states("watching")
    watcher.close()
    observer.await_states("unknown")


def test_a_second_subscription_is_no_change(open_office: PostOffice, observer: Observer) -> None:
    found = find(open_office.data)
    assert found is not None
    first, second = Notices(found.notices, "bob"), Notices(found.notices, "bob")
    eventually(lambda: bool(first.drain()), "the first head")
    eventually(lambda: bool(second.drain()), "the second head")
    second.close()
    first.close()
    observer.await_states("watching", "unknown")


def test_a_program_that_says_what_it_does(open_office: PostOffice, observer: Observer) -> None:
    """A session without hooks, such as one of another machine, reports by `session.touch`."""
    with Client(open_office.router(), Caller("bob")) as client:
        client.touch_session(status="working")
    observer.await_states("working")
    with Client(open_office.router(), Caller("bob")) as client:
        client.touch_session(status="idle")
    observer.await_states("unknown")


def test_a_restart_is_no_change_and_what_happened_meanwhile_is_known(open_office: PostOffice, agent: Agent) -> None:
    agent.begin()
    agent.sign("working")
    open_office.stop()
    agent.sign("waiting", "permission:Bash")
    open_office.start()
    assert lines(open_office)["bob"]["state"] == "waiting"
    observer = Observer(open_office)
    agent.kill()
    observer.await_states("gone")
    observer.close()


@pytest.mark.parametrize("way", ["removed", "moved", "all hooks"])
def test_a_folder_that_was_removed_is_watched_again(
    open_office: PostOffice, observer: Observer, agent: Agent, way: str
) -> None:
    agent.begin()
    agent.sign("working")
    observer.await_states("working")
    folder = os.path.dirname(hook_state.path(open_office.data, "bob"))
    if way == "moved":
        os.rename(folder, folder + ".old")
    else:
        shutil.rmtree(folder if way == "removed" else os.path.dirname(folder))
    observer.await_states("unknown")
    eventually(lambda: os.path.isdir(folder), "the folder is back")
    assert os.stat(folder).st_mode & 0o777 == 0o700
    agent.sign("idle")
    observer.await_states("idle")


def test_where_the_folder_cannot_be_watched_states_are_read(post_office: PostOffice) -> None:
    post_office.start()
    post_office.stop()
    folder = os.path.dirname(hook_state.path(post_office.data, "bob"))
    shutil.rmtree(folder)
    os.symlink("/dev/null", folder)
    post_office.start()
    agent = Agent(post_office)
    try:
        agent.begin()
        assert lines(post_office)["bob"]["state"] == "unknown"
        with Client(post_office.router()) as operator:
            stats = operator.stats()
        assert stats["presence"]["folder"] is False
        [warning] = [one for one in stats["warnings"] if "states are not noticed" in one]
        assert "are read when a client asks" in warning
        agent.kill()
        eventually(lambda: lines(post_office)["bob"]["state"] == "gone", "gone when asked")
    finally:
        agent.close()


def test_more_processes_than_the_broker_may_watch(post_office: PostOffice) -> None:
    """Of 64 descriptors a quarter is for processes. The others are looked for when a client asks."""
    post_office.launcher = ["prlimit", "--nofile=64:64"]
    post_office.start()
    agents = [Agent(post_office, f"s{number}") for number in range(18)]
    try:
        for one in agents:
            one.begin()
        with Client(post_office.router()) as operator:
            stats = operator.stats()
            assert stats["presence"] == {"folder": True, "processes": 16, "processesMax": 16, "unwatched": 2}
            assert any("2 sessions is not noticed: 16 are watched" in warning for warning in stats["warnings"])
            for one in agents:
                one.kill()
            eventually(lambda: {line["state"] for line in operator.presence()} == {"gone"}, "all are gone")
            assert operator.stats()["presence"]["processes"] == 0
    finally:
        for one in agents:
            one.close()


def test_again_and_again(open_office: PostOffice, observer: Observer) -> None:
    """No descriptor is left over, however a process or a session ends."""
    pid = open_office.pid
    counts = []
    for number in range(5):
        for way in ("killed", "ended", "replaced"):
            agent = Agent(open_office)
            try:
                agent.begin()
                agent.sign("working")
                eventually(lambda: observer.states()[-1:] == ["working"], "working")
                if way == "killed":
                    agent.kill()
                    eventually(lambda: observer.states()[-1:] == ["gone"], "gone")
                elif way == "ended":
                    with Client(open_office.router()) as operator:
                        operator.end_session("bob")
                    eventually(lambda: observer.states()[-1:] == ["ended"], "ended")
                else:
                    other = Agent(open_office)
                    other.begin()
                    other.sign("idle")
                    eventually(lambda: observer.states()[-1:] == ["idle"], "idle")
                    other.kill()
                    eventually(lambda: observer.states()[-1:] == ["gone"], "gone")
                    other.close()
            finally:
                agent.close()
        if number:
            counts.append(len(os.listdir(f"/proc/{pid}/fd")))
    assert max(counts) - counts[0] <= 1, counts


def test_a_session_that_is_not_there_and_files_that_are_none(
    open_office: PostOffice, observer: Observer, agent: Agent
) -> None:
    """What lies in the folder beside the states of sessions makes no notice, and no harm."""
    agent.begin()
    agent.sign("idle")
    observer.await_states("idle")
    folder = os.path.dirname(hook_state.path(open_office.data, "bob"))
    os.mkfifo(os.path.join(folder, "ann"))
    for name, content in (("no-session-here", b"working\n"), (".hidden", b""), ("x" * 255, b""), ("ends\nhere", b"")):
        with open(os.path.join(folder, name), "wb") as file:
            file.write(content)
    with open(hook_state.path(open_office.data, "bob"), "wb") as file:
        file.write(b"no state\n")
    observer.await_states("unknown")
    agent.sign("idle")
    observer.await_states("idle")
    assert not [event for event in observer.drained() if event["event"] == "session.presence"]


def test_a_stopped_process_lives(observer: Observer, agent: Agent) -> None:
    agent.begin()
    agent.sign("working")
    observer.await_states("working")
    agent.process.send_signal(signal.SIGSTOP)
    agent.sign("idle")
    observer.await_states("idle")
    agent.process.send_signal(signal.SIGCONT)


# --- the command -----------------------------------------------------------------------------------------------


def test_who_sees_how_much_mail_waits(open_office: PostOffice) -> None:
    """The session itself, an orchestrator of its project, the operator; the others see the rest."""
    open_office.session("chief", role="orchestrator", project="default")
    open_office.session("foreign", role="orchestrator", project="other")
    sent = [open_office.client("ann").send("bob", text) for text in ("one", "two")]
    for caller in (None, "bob", "chief"):
        bob = lines(open_office, caller)["bob"]
        assert (bob["unread"], bob["oldestAt"]) == (2, sent[0]["createdAt"])
    for caller in ("ann", "foreign"):
        bob = lines(open_office, caller)["bob"]
        assert (bob["state"], "unread" in bob, "oldestAt" in bob) == ("unknown", False, False)
    assert lines(open_office, "ann")["ann"]["unread"] == 0


def test_the_oldest_mail_is_known_after_a_restart_and_of_evicted_mailboxes(post_office: PostOffice) -> None:
    post_office.start(mailbox_idle="100ms")
    names = [f"s{number}" for number in range(40)]
    post_office.sessions("ann", *names)
    client = post_office.client("ann")
    first = {name: client.send(name, "one")["createdAt"] for name in names}
    post_office.stop()
    post_office.start(mailbox_idle="100ms", loaded_messages_max=100)
    found = lines(post_office)
    assert {name: found[name]["oldestAt"] for name in names} == first
    client = post_office.client("ann")
    for name in names:
        client.send(name, "two")
    with Client(post_office.router(), Caller("s3")) as reader:
        [one, _] = reader.inbox()["messages"]
        reader.confirm([one["id"]], "read")
    found = lines(post_office)
    assert found["s3"]["unread"] == 1
    assert found["s3"]["oldestAt"] > first["s3"]
    assert {name: found[name]["oldestAt"] for name in names if name != "s3"} == {
        name: at for name, at in first.items() if name != "s3"
    }


def test_pages_projects_and_one_session(open_office: PostOffice) -> None:
    for number in range(5):
        open_office.session(f"p{number}", project="shop")
    with Client(open_office.router()) as operator:
        operator.end_session("p4")
        pages = [operator.presence_page(limit=2)]
        while "next" in pages[-1]:
            pages.append(operator.presence_page(limit=2, after=pages[-1]["next"]))
        assert [[line["session"] for line in page["presence"]] for page in pages] == [
            ["ann", "bob"],
            ["p0", "p1"],
            ["p2", "p3"],
        ]
        assert [line["session"] for line in operator.presence(project_id="shop")] == ["p0", "p1", "p2", "p3"]
        [ended] = operator.presence(session="p4")
        assert (ended["state"], ended["by"]) == ("ended", "broker")
        for wrong in ({"limit": 0}, {"after": "x"}, {"session": "nowhere"}):
            with pytest.raises(MaestroError) as caught:
                operator.presence_page(**wrong)
            assert caught.value.code in ("INVALID", "SESSION_NOT_FOUND")
