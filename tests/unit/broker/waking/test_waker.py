"""The waker: real threads and processes; a program of the test stands where an agent's own would be."""

from __future__ import annotations

import os
import select
import threading
import time
from typing import TYPE_CHECKING

import pytest

from maestro_broker.waking import codex_queue, waker
from maestro_broker.waking.steps import WakePause
from maestro_broker.waking.waker import COMMANDS_MAX, WAYS, Waker
from maestro_runtime import wake_facts
from maestro_runtime.process_identity import pid_start
from maestro_runtime.wake_facts import WakeFacts
from maestro_schemas.texts.waking import CODEX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from maestro_broker.waking.steps import Steps, Wake, WakeOutcome

PATIENCE_S = 30.0


class Office:
    """Sessions whose agents a program of the test wakes."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.waker = Waker(str(data), {"PATH": os.defpath, "HOME": str(data)})

    def session(self, name: str, script: str) -> None:
        """A session with a wake that is due; `script` stands in the place of Codex."""
        program = self.data / f"codex-{name}"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o700)
        facts = WakeFacts(
            CODEX,
            os.getpid(),
            pid_start(os.getpid()),
            thread="01a22be6-fce2-78d2-8e80-9473d6f1ee81",
            program=str(program),
            home=str(self.data),
        )
        wake_facts.write(str(self.data), name, facts)
        self.due(name)

    def due(self, name: str) -> None:
        file = self.data / "messages" / "by-receiver" / name / ".wake"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("idle\n")

    def outcomes(self, count: int) -> list[WakeOutcome]:
        """That many outcomes, as the loop takes them: when the descriptor says so."""
        found: list[WakeOutcome] = []
        until_s = time.monotonic() + PATIENCE_S
        while len(found) < count:
            assert time.monotonic() < until_s, found
            if self.waker.fd is not None:
                select.select([self.waker.fd], [], [], 1.0)
            found += self.waker.outcomes()
        return found


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    threads, descriptors = threading.active_count(), len(os.listdir("/proc/self/fd"))
    made = Office(tmp_path)
    yield made
    made.waker.close()
    assert threading.active_count() == threads
    assert len(os.listdir("/proc/self/fd")) == descriptors


def eventually(check: Callable[[], bool]) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while not check():
        assert time.monotonic() < until_s
        time.sleep(0.005)


def test_a_wake_runs_the_command_once_and_its_outcome_comes_back(office: Office) -> None:
    office.session("bob", f'echo "$@" >> {office.data}/ran')
    assert office.waker.stats() == {"running": False, "outstanding": 0, "commands": 0}
    office.waker.wake("bob", CODEX)
    assert office.outcomes(1) == [("bob", CODEX, "woken", None, False)]
    said = (office.data / "ran").read_text()
    assert said == f"queue --thread 01a22be6-fce2-78d2-8e80-9473d6f1ee81 --message {codex_queue.WORDS}\n"
    assert "bob codex:queue woken" in (office.data / "logs" / "wake.log").read_text()
    assert office.waker.stats() == {"running": True, "outstanding": 0, "commands": 0}
    assert office.waker.outcomes() == []


def test_a_second_wake_before_the_outcome_changes_nothing(office: Office) -> None:
    os.mkfifo(office.data / "go")
    office.session("bob", f"echo >> {office.data}/ran; read -r _ < {office.data}/go")
    office.waker.wake("bob", CODEX)
    eventually((office.data / "ran").exists)
    office.due("bob")
    office.waker.wake("bob", CODEX)
    (office.data / "go").write_text("\n")
    assert [one.result for one in office.outcomes(1)] == ["woken"]
    office.waker.wake("bob", CODEX)
    eventually(lambda: (office.data / "ran").read_text() == "\n\n")
    (office.data / "go").write_text("\n")
    assert [one.result for one in office.outcomes(1)] == ["woken"]


def test_commands_run_in_turns_and_never_more_than_the_bound(office: Office) -> None:
    names = [f"s{number}" for number in range(8)]
    os.mkdir(office.data / "now")
    for name in names:
        counted = "mkdir now/$$; ls now | wc -l >> counts; sleep 0.05; rmdir now/$$"
        office.session(name, f"cd {office.data}; {counted}; echo {name} >> order")
        office.waker.wake(name, CODEX)
    found = office.outcomes(len(names))
    assert sorted(one.session for one in found) == names
    assert {one.result for one in found} == {"woken"}
    assert max(map(int, (office.data / "counts").read_text().split())) <= COMMANDS_MAX
    assert set((office.data / "order").read_text().split()[:COMMANDS_MAX]) <= set(names[: COMMANDS_MAX + 1])


def test_a_command_that_hangs_holds_up_no_other_session(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maestro_broker.waking.child.COMMAND_S_MAX", 1.0)
    office.session("hangs", "sleep 600 & wait")
    office.session("goes", "true")
    office.waker.wake("hangs", CODEX)
    office.waker.wake("goes", CODEX)
    first, second = office.outcomes(2)
    assert (first.session, first.result) == ("goes", "woken")
    assert (second.session, second.result) == ("hangs", "failed")
    assert "did not end in time" in str(second.reason)


def test_a_reason_is_one_short_line(office: Office) -> None:
    office.session("bob", "printf 'a\\033[31m\\tb%01000d' 5 >&2; exit 1")
    office.waker.wake("bob", CODEX)
    [found] = office.outcomes(1)
    assert found.result == "failed"
    assert str(found.reason).isprintable()
    assert len(str(found.reason)) <= 300


@pytest.mark.parametrize("by", [CODEX, "claude-code:FileChanged", "telepathy"])
def test_what_is_not_known_is_a_failure_that_lasts(office: Office, by: str) -> None:
    office.waker.wake("stranger", by)
    [found] = office.outcomes(1)
    assert (found.session, found.by, found.result, found.is_lasting) == ("stranger", by, "failed", True)


def test_facts_for_another_way_are_not_used(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    office.session("bob", "true")
    monkeypatch.setitem(WAYS, "tmux:keys", codex_queue.steps)
    office.waker.wake("bob", "tmux:keys")
    assert [one.result for one in office.outcomes(1)] == ["failed"]


def test_what_is_noted_of_an_ended_agent_is_removed(office: Office) -> None:
    office.session("bob", "true")
    office.waker.forget("bob")
    office.waker.forget("stranger")
    facts = wake_facts.read(str(office.data), "bob")
    assert facts is not None, "its person may turn waking on again"
    wake_facts.write(str(office.data), "bob", facts._replace(pid_start="another/4026531836/1"))
    office.waker.forget("bob")
    assert wake_facts.sessions(str(office.data)) == []


def test_close_ends_what_still_runs(office: Office) -> None:
    office.session("bob", f"echo $$ > {office.data}/new; mv {office.data}/new {office.data}/pid; exec sleep 600")
    office.waker.wake("bob", CODEX)
    eventually((office.data / "pid").exists)
    pid = int((office.data / "pid").read_text())
    office.waker.close()
    assert not os.path.exists(f"/proc/{pid}")


def test_a_defect_is_an_outcome_and_the_next_wake_has_a_new_thread(
    office: Office, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_wake: Wake, _environ: object) -> None:
        raise RuntimeError("a defect")

    office.session("bob", "true")
    with monkeypatch.context() as patch:
        patch.setitem(WAYS, CODEX, broken)
        office.waker.wake("bob", CODEX)
        [found] = office.outcomes(1)
    assert (found.session, found.result, found.is_lasting) == ("bob", "failed", False)
    assert "a defect" in caplog.text
    eventually(lambda: not office.waker.stats()["running"])
    office.waker.wake("bob", CODEX)
    assert [one.result for one in office.outcomes(1)] == ["woken"]


def test_a_defect_in_one_wake_ends_no_other(
    office: Office, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_wake: Wake, _environ: object) -> Steps:
        yield WakePause(0.0)
        raise RuntimeError("a defect")

    os.mkfifo(office.data / "go")
    office.session("ann", f"echo > {office.data}/runs; read -r _ < {office.data}/go")
    office.waker.wake("ann", CODEX)
    eventually((office.data / "runs").exists)
    office.session("bob", "true")
    monkeypatch.setitem(WAYS, CODEX, broken)
    office.waker.wake("bob", CODEX)
    assert [(one.session, one.result) for one in office.outcomes(1)] == [("bob", "failed")]
    assert "a defect" in caplog.text
    (office.data / "go").write_text("\n")
    assert [(one.session, one.result) for one in office.outcomes(1)] == [("ann", "woken")]


@pytest.mark.parametrize("lacks", ["thread", "descriptor"])
def test_a_waker_that_can_not_be_started_is_a_failure(
    office: Office, monkeypatch: pytest.MonkeyPatch, lacks: str
) -> None:
    def refused(*_: object, **__: object) -> None:
        if lacks == "thread":
            raise RuntimeError("can't start new thread")
        raise OSError(24, "Too many open files")

    office.session("bob", "true")
    with monkeypatch.context() as patch:
        owner, name = (threading.Thread, "start") if lacks == "thread" else (os, "eventfd")
        patch.setattr(owner, name, refused)
        office.waker.wake("bob", CODEX)
    [found] = office.outcomes(1)
    assert (found.session, found.result, found.is_lasting) == ("bob", "failed", False)
    assert "no room" in str(found.reason)
    office.waker.wake("bob", CODEX)
    assert [one.result for one in office.outcomes(1)] == ["woken"]


def test_a_thread_that_has_ended_leaves_no_wake_outstanding(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    ends, goes_on = threading.Event(), threading.Event()

    def dying(self: Waker) -> None:
        ends.set()
        assert goes_on.wait(PATIENCE_S)

    office.session("bob", "true")
    with monkeypatch.context() as patch:
        patch.setattr(Waker, "_run", dying)
        office.waker.wake("bob", CODEX)
        assert ends.wait(PATIENCE_S)
    goes_on.set()
    eventually(lambda: not office.waker.stats()["running"])
    office.waker.wake("bob", CODEX)
    assert office.outcomes(1)[0].result == "woken"


def test_a_process_that_can_not_be_started_is_a_failure(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    office.session("bob", "true")
    monkeypatch.setattr(waker, "WakeChild", refused)
    office.waker.wake("bob", CODEX)
    [found] = office.outcomes(1)
    assert (found.result, found.reason) == ("failed", "Resource temporarily unavailable")


def test_a_system_without_such_descriptors_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "eventfd")
    office = Office(tmp_path)
    assert office.waker.fd is None
    office.waker.wake("bob", CODEX)
    assert [one.result for one in office.waker.outcomes()] == ["failed"]
    office.waker.close()
