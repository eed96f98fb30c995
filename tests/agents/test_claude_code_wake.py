"""Mail starts a turn of the real Claude Code, idle on its screen, by the hooks of `maestro hooks install`."""

from __future__ import annotations

import contextlib
import glob
import itertools
import json
import os
import signal
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from agents import scenes
from agents.desk import presence_of
from agents.screens import on_screen
from agents.turns import Call, Say
from agents.wakes import Answerer, at_a_wake_desk
from maestro_cli.hooks import shell_script
from maestro_schemas.texts import waking
from support.post_office import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agents.clients import Agent
    from agents.turns import Request, Turn
    from agents.wakes import WakeDesk
    from support.cli_shell import Shell

KIND = "claude-code"
GRACE_S = 3.0
_STREAM = ("--input-format", "stream-json", "--output-format", "stream-json", "--verbose")


@pytest.fixture(scope="module")
def shell_environ() -> dict[str, str]:
    """Limits that don't end these tests before what they show, and a short grace time."""
    return {
        "MAESTRO_RATE_LIMIT": "0",
        "MAESTRO_WAKE_MINUTE_LIMIT": "0",
        "MAESTRO_WAKE_HOUR_LIMIT": "0",
        "MAESTRO_WAKE_GRACE_MS": f"{GRACE_S * 1_000:.0f}",
    }


def woken_by(desk: WakeDesk, text: str) -> str | None:
    """What the record of the delivery of this mail says."""
    [message] = [one for one in desk.session.inbox("--unread") if one["message"] == text]
    with desk.session.client() as client:
        records: list[dict[str, Any]] = [dict(one) for one in client.events(0, message=message["id"])["events"]]
    [delivered] = [one for one in records if one["event"] == "message.delivered"]
    found = delivered.get("wokenBy")
    assert found is None or isinstance(found, str)
    return found


# --- idle -------------------------------------------------------------------------------------------------------


@pytest.mark.mechanism
def test_mail_to_an_idle_agent_is_in_a_request_once_and_leaves_the_typed_text(person: Shell) -> None:
    with at_a_wake_desk(KIND, person) as desk, on_screen(desk.agent, "Go on.") as screen:
        desk.turn()
        screen.type("half typed; don't touch, ä")
        eventually(lambda: "touch, ä" in screen.typed(), "the typed text")
        typed = screen.typed()
        sent_s = desk.send(scenes.TEXT)
        desk.await_requests(2)
        desk.took("after a turn", sent_s, 2)
        desk.await_sign("idle", "Stop")
        screen.wait_for(waking.NOTICE)
        assert screen.typed() == typed
        assert desk.shown(scenes.TEXT) == [0, 1]
        assert woken_by(desk, scenes.TEXT) == waking.CLAUDE_CODE
        desk.end_with(3)
        assert screen.typed() == typed
        assert desk.agent.model.strays == []


@pytest.mark.mechanism
def test_before_its_first_turn(person: Shell) -> None:
    with at_a_wake_desk(KIND, person) as desk, on_screen(desk.agent, ""):
        desk.await_sign("idle", "SessionStart")
        sent_s = desk.send(scenes.TEXT)
        desk.turn()
        desk.took("before the first turn", sent_s, 1)
        assert desk.shown(scenes.TEXT) == [1]
        desk.end_with(2)


@pytest.mark.mechanism
def test_after_clear(person: Shell) -> None:
    with at_a_wake_desk(KIND, person) as desk, on_screen(desk.agent, "Go on.") as screen:
        desk.turn()
        screen.prompt("/clear")
        desk.await_sign("idle", "SessionStart")
        sent_s = desk.send(scenes.TEXT)
        desk.turn(2)
        desk.took("after /clear", sent_s, 2)
        assert desk.shown(scenes.TEXT) == [0, 1]
        desk.end_with(3)


def test_after_a_compaction(person: Shell) -> None:
    with at_a_wake_desk(KIND, person) as desk, on_screen(desk.agent, "Go on.") as screen:
        desk.turn()
        screen.prompt("/compact")
        screen.wait_for("Compacted")
        before = len(desk.agent.model.calls)
        sent_s = desk.send(scenes.TEXT)
        desk.turn(before + 1)
        desk.took("after /compact", sent_s, before + 1)
        desk.end_with(before + 2)
        assert desk.shown(scenes.TEXT)[-2:] == [1, 1]


def test_after_its_hooks_were_installed_again_while_it_runs(person: Shell) -> None:
    with at_a_wake_desk(KIND, person) as desk, on_screen(desk.agent, "Go on."):
        desk.turn()
        os.unlink(shell_script.script_path(desk.session.data))
        desk.agent.install_hooks()
        sent_s = desk.send(scenes.TEXT)
        desk.turn(2)
        desk.took("after another installation", sent_s, 2)
        assert desk.shown(scenes.TEXT) == [0, 1]
        desk.end_with(3)


@pytest.mark.parametrize(("key", "text", "seen"), [("", "/mod", "/model"), ("!", "echo half", "for shell mode")])
def test_beside_an_open_menu_and_in_shell_mode(person: Shell, key: str, text: str, seen: str) -> None:
    with at_a_wake_desk(KIND, person) as desk, on_screen(desk.agent, "Go on.") as screen:
        desk.turn()
        if key:
            screen.press(key)
            screen.wait_for(seen)
        screen.type(text)
        screen.wait_for(text)
        screen.wait_for(seen)
        desk.send(scenes.TEXT)
        desk.turn(2)
        assert desk.shown(scenes.TEXT) == [0, 1]
        assert text in screen.text()
        assert seen in screen.text()
        desk.end_with(3)


def test_behind_a_dialog_of_the_client_a_wake_waits(person: Shell) -> None:
    with at_a_wake_desk(KIND, person) as desk, on_screen(desk.agent, "Go on.") as screen:
        desk.turn()
        screen.prompt("/model")
        screen.wait_for("Select model")
        desk.send(scenes.TEXT)
        desk.await_claim()
        assert "Select model" in screen.text()
        assert len(desk.agent.model.calls) == 1
        screen.press("Escape")
        desk.turn(2)
        assert desk.shown(scenes.TEXT) == [0, 1]
        desk.end_with(3)


@pytest.mark.mechanism
def test_after_continue_and_none_of_its_processes_is_left_by_exit(person: Shell) -> None:
    with at_a_wake_desk(KIND, person) as desk:
        with on_screen(desk.agent, "Go on.") as screen:
            desk.turn()
            screen.prompt("/exit")
            desk.await_sign("left")
            eventually(lambda: not processes_of(desk.agent), "the end of all its processes", 30.0)
        with on_screen(desk.agent, "", "--continue", name="again"):
            desk.await_sign("idle", "SessionStart")
            sent_s = desk.send(scenes.TEXT)
            desk.turn(2)
            desk.took("after --continue", sent_s, 2)
            assert desk.shown(scenes.TEXT) == [0, 1]
            desk.end_with(3)


@pytest.mark.mechanism
def test_kill_leaves_no_process(person: Shell) -> None:
    """With a wake on its way."""
    with at_a_wake_desk(KIND, person) as desk, on_screen(desk.agent, "Go on.") as screen:
        desk.turn()
        pid = screen.pid()
        assert pid in processes_of(desk.agent)
        desk.send(scenes.TEXT)
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not processes_of(desk.agent), "the end of all its processes", GRACE_S + 30.0)


def processes_of(agent: Agent) -> list[int]:
    """The processes whose home directory is the agent's, but for the multiplexer of its screen."""
    found = []
    for path in glob.glob("/proc/[0-9]*/environ"):
        try:
            with open(path, "rb") as file:
                environ = file.read().split(b"\0")
            with open(os.path.join(os.path.dirname(path), "comm"), encoding="utf-8") as file:
                name = file.read().strip()
        except OSError:
            continue
        if f"HOME={agent.home}".encode() in environ and not name.startswith("tmux"):
            found.append(int(path.split("/")[2]))
    return found


# --- at work ----------------------------------------------------------------------------------------------------


@pytest.mark.mechanism
def test_after_esc_within_the_grace_time(person: Shell) -> None:
    """No hook of the client says that Esc has ended a turn, so the age of its last sign does."""
    thinking = threading.Event()

    def model(request: Request) -> Turn:
        if len(desk.agent.model.calls) == 1:
            thinking.wait(60)
        return Say("I am done.")

    with at_a_wake_desk(KIND, person, model) as desk, on_screen(desk.agent, "Go on.") as screen:
        try:
            desk.await_requests(1)
            screen.wait_for("esc to interrupt")
            screen.press("Escape")
            eventually(lambda: "Go on." in screen.typed(), "the prompt, given back to the person")
            sign = desk.sign()
            assert sign is not None
            assert (sign.state, sign.event) == ("working", "UserPromptSubmit")
            sent_s = desk.send(scenes.TEXT)
            desk.turn(2)
            desk.took("after Esc", sent_s, 2, GRACE_S + 3.0)
            assert desk.shown(scenes.TEXT) == [0, 1]
            assert "Go on." in screen.typed()
            desk.end_with(3)
        finally:
            thinking.set()


def test_after_esc_in_a_tool_within_the_grace_time(person: Shell) -> None:
    def model(request: Request) -> Turn:
        if len(desk.agent.model.calls) == 1:
            return desk.agent.shell("touch begun; until [ -e never ]; do sleep 0.1; done")
        return Say("I am done.")

    with at_a_wake_desk(KIND, person, model) as desk, on_screen(desk.agent, "Go on.") as screen:
        eventually(lambda: os.path.exists(os.path.join(desk.agent.work, "begun")), "the tool runs", 60.0)
        screen.wait_for("esc to interrupt")
        screen.press("Escape")
        screen.wait_for("Interrupted")
        sent_s = desk.send(scenes.TEXT)
        desk.turn(2)
        desk.took("after Esc in a tool", sent_s, 2, GRACE_S + 3.0)
        assert desk.shown(scenes.TEXT) == [0, 1]
        desk.end_with(3)


@pytest.mark.mechanism
def test_mail_while_the_model_thinks_makes_no_turn_of_its_own(person: Shell) -> None:
    def model(request: Request) -> Turn:
        if len(desk.agent.model.calls) == 1:
            desk.send(scenes.TEXT)
        return Say("I am done.")

    with at_a_wake_desk(KIND, person, model) as desk, on_screen(desk.agent, "Go on."):
        desk.turn(2)
        desk.end_with(3)
        assert desk.shown(scenes.TEXT) == [0, 1, 1]


@pytest.mark.mechanism
def test_mail_in_a_tool_makes_no_turn_of_its_own(person: Shell) -> None:
    """The tool takes longer than the grace time, so the broker asks for a wake in it."""

    def model(request: Request) -> Turn:
        if len(desk.agent.model.calls) == 1:
            return desk.agent.shell("touch begun; until [ -e go ]; do sleep 0.1; done")
        return Say("I am done.")

    with at_a_wake_desk(KIND, person, model) as desk, on_screen(desk.agent, "Go on."):
        eventually(lambda: os.path.exists(os.path.join(desk.agent.work, "begun")), "the tool runs", 60.0)
        desk.send(scenes.TEXT)
        desk.await_claim()
        with open(os.path.join(desk.agent.work, "go"), "w"):
            pass
        desk.turn(2)
        desk.end_with(3)
        assert desk.shown(scenes.TEXT) == [0, 1, 1]


@pytest.mark.mechanism
def test_mail_at_the_end_of_a_turn_makes_one_turn(person: Shell) -> None:
    """Within 50 ms of the sign of the end, again and again: either the hook of the end shows it, or a wake does."""
    rounds = 8
    with at_a_wake_desk(KIND, person) as desk, on_screen(desk.agent, "Go on."):
        path = os.path.join(desk.session.data, "hooks", "state", desk.session.session_id)
        for number in range(rounds):
            eventually(lambda: os.path.exists(path), "its first sign", 60.0)
            desk.await_requests(number + 1)
            desk.await_sign("idle", "Stop")
            # Spread over the time in which the hook looks for mail.
            threading.Event().wait(number * 0.007)
            desk.send(f"mail {number};")
        desk.await_requests(rounds + 1)
        desk.end_with(rounds + 2)
        last = desk.agent.model.calls[-1]
        assert [last.count(f"| mail {number};") for number in range(rounds)] == [1] * rounds


@pytest.mark.mechanism
def test_a_burst_is_each_mail_once_in_a_few_turns(person: Shell) -> None:
    count, turns_max = 20, 6
    with at_a_wake_desk(KIND, person) as desk, on_screen(desk.agent, "Go on."):
        desk.turn()
        for number in range(count):
            desk.send(f"mail {number};")
            threading.Event().wait(0.1)

        def shown() -> bool:
            last = desk.agent.model.calls[-1]
            return all(last.count(f"| mail {number};") for number in range(count))

        eventually(shown, "all mails in a request", 90.0)
        turns = len(desk.agent.model.calls) - 1
        print(f"{count} mails in 2 s: {turns} turns")
        assert turns <= turns_max
        desk.end_with(turns + 2)
        last = desk.agent.model.calls[-1]
        assert [last.count(f"| mail {number};") for number in range(count)] == [1] * count


_PLAN = "Exit plan mode?"


@pytest.mark.parametrize(
    "dialog", [pytest.param("Do you want to proceed?", marks=pytest.mark.mechanism), "Which branch?", _PLAN]
)
def test_behind_an_open_question_a_wake_waits(person: Shell, dialog: str) -> None:
    """Of a permission, of the tool for questions, and of a plan. Also a wake that the broker asks for when the sign
    of the dialog has become old."""
    options = [{"label": name, "description": f"the branch {name}"} for name in ("main", "dev")]
    question = {"question": dialog, "header": "Branch", "multiSelect": False, "options": options}

    def model(request: Request) -> Turn:
        if len(desk.agent.model.calls) > 1:
            return Say("I am done.")
        if dialog == _PLAN:
            return Call("ExitPlanMode", {"plan": "Make the file."})
        asks_to_run = dialog == "Do you want to proceed?"
        return (
            desk.agent.asking_shell("touch made")
            if asks_to_run
            else Call("AskUserQuestion", {"questions": [question]})
        )

    mode = ("--permission-mode", "plan") if dialog == _PLAN else ()
    with at_a_wake_desk(KIND, person, model, asks=True) as desk, on_screen(desk.agent, "Go on.", *mode) as screen:
        screen.wait_for(dialog)
        desk.await_sign("waiting")
        desk.send(scenes.TEXT)
        wake = desk.known()["presence"].get("wake")
        assert wake is not None
        assert wake["state"] == "ready"
        desk.await_claim()
        assert dialog in screen.text()
        assert len(desk.agent.model.calls) == 1
        screen.press("Enter")
        desk.turn(2)
        eventually(lambda: desk.shown(scenes.TEXT)[-1] == 1, "the mail, after the person's answer")
        assert desk.shown(scenes.TEXT)[-1] == 1


# --- who is not woken -------------------------------------------------------------------------------------------


def test_low_priority_and_quiet_mail_wait_for_the_next_turn(person: Shell) -> None:
    with at_a_wake_desk(KIND, person) as desk, on_screen(desk.agent, "Go on."):
        desk.turn()
        desk.send("low;", metadata={"priority": "low"})
        others = [desk.session, desk.colleague.session("another")]
        desk.colleague.send_to_all(others, "quiet;")
        desk.end_with(2)
        assert [desk.shown(text) for text in ("| low;", "| quiet;")] == [[0, 1], [0, 1]]


@pytest.mark.parametrize("way", ["--no-wake", "MAESTRO_WAKE=off", "an older installation"])
def test_an_agent_that_must_not_be_woken_is_not(person: Shell, way: str) -> None:
    """A person's prompt brings its mail, and that prompt is its next request."""
    environ = {"MAESTRO_WAKE": "off"} if way == "MAESTRO_WAKE=off" else {}
    install = ("--no-wake",) if way == "--no-wake" else ()
    session = person.session("agent").like(**environ)
    with at_a_wake_desk(KIND, person, session=session, install=install) as desk:
        if way == "an older installation":
            _install_as_before(desk.agent, desk.session)
        with on_screen(desk.agent, "Go on.") as screen:
            desk.turn()
            with desk.colleague.client() as client:
                result = client.send(desk.session.session_id, scenes.TEXT)
            assert result["reach"] == "prompt"
            wake = desk.known()["presence"].get("wake")
            assert wake is None or wake["state"] == "off"
            # Even the broker's file does not wake it.
            folder = os.path.join(desk.session.data, "messages/by-receiver", desk.session.session_id)
            with open(os.path.join(folder, waking.WAKE_FILE), "w", encoding="utf-8") as file:
                file.write("any\n")
            screen.prompt("And now?")
            eventually(lambda: 1 in desk.shown(scenes.TEXT), "the mail in a request", 60.0)
            calls = desk.agent.model.calls
            assert all("And now?" in call for call in calls[1:]), "the prompt has begun the second turn"
            assert waking.NOTICE not in screen.text()
            step = "maestro hooks install claude-code"
            assert {call.count(step) for call in calls} == {1 if way == "an older installation" else 0}


def _install_as_before(agent: Agent, session: Shell) -> None:
    """The settings as the version before wakes wrote them."""
    with open(agent.settings(), encoding="utf-8") as file:
        settings = json.load(file)
    del settings["hooks"]["FileChanged"]
    script = shell_script.script_path(session.data)
    [start] = settings["hooks"]["SessionStart"]
    start["hooks"][0]["command"] = shell_script.command(script, KIND, "SessionStart")
    with open(agent.settings(), "w", encoding="utf-8") as file:
        json.dump(settings, file)


# --- without a screen -------------------------------------------------------------------------------------------


@pytest.mark.mechanism
def test_a_run_without_a_screen_is_not_held_open(person: Shell) -> None:
    """Also if the broker asks for a wake in it: the last answer of its model is followed by its end."""
    answered: list[float] = []

    def model(request: Request) -> Turn:
        if len(desk.agent.model.calls) == 1:
            desk.send(scenes.TEXT)
            eventually(lambda: desk.known()["presence"]["wake"]["state"] == "woken", "a wake", 30.0)
        answered.append(time.monotonic())
        return Say("I am done.")

    with at_a_wake_desk(KIND, person, model) as desk:
        desk.agent.run("Go on.")
        took_s = time.monotonic() - answered[-1]
        print(f"claude -p: ended {took_s:.2f} s after the last answer")
        # The hook's own timeout is 60 s, and a hook that waited would hold the run open for that.
        assert took_s < 30.0
        assert desk.shown(scenes.TEXT) == [0, 1]


@pytest.mark.mechanism
def test_a_stream_is_woken_from_idle_and_ends_with_its_input(person: Shell) -> None:
    with at_a_wake_desk(KIND, person) as desk:
        words = [*desk.agent.interactive("", "-p", *_STREAM)]
        process = subprocess.Popen(
            words,
            env=desk.agent.environ,
            cwd=desk.agent.work,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            assert process.stdin is not None
            said = {"type": "user", "message": {"role": "user", "content": "Go on."}}
            process.stdin.write(json.dumps(said).encode() + b"\n")
            process.stdin.flush()
            desk.turn()
            sent_s = desk.send(scenes.TEXT)
            desk.turn(2)
            desk.took("an idle stream", sent_s, 2)
            assert desk.shown(scenes.TEXT) == [0, 1]
            process.stdin.close()
            began = time.monotonic()
            assert process.wait(60) == 0
            print(f"stream-json: ended {time.monotonic() - began:.2f} s after the end of its input")
        finally:
            process.kill()
            process.wait()


# --- several ----------------------------------------------------------------------------------------------------


@pytest.mark.mechanism
def test_of_two_clients_on_one_mailbox_one_tells_the_mail(person: Shell) -> None:
    with (
        at_a_wake_desk(KIND, person) as desk,
        on_screen(desk.agent, "Go on."),
        on_screen(desk.agent, "Go on, too.", name="second"),
    ):
        desk.await_requests(2)
        desk.await_sign("idle", "Stop")
        for number in range(3):
            desk.send(f"mail {number};")
            desk.turn(number + 3)
        desk.end_with(6)
        conversations = {call.headers["X-Claude-Code-Session-Id"]: call for call in desk.agent.model.calls}
        assert len(conversations) == 2
        shown = [sum(call.count(f"| mail {number};") for call in conversations.values()) for number in range(3)]
        assert shown == [1, 1, 1]


@pytest.mark.mechanism
def test_two_idle_agents_hold_a_conversation_of_ten_messages(person: Shell) -> None:
    """One send begins it. Each turn is begun by a wake; the limits of wakes are the shipped ones otherwise."""
    texts = [f"Number {number}: {'the lamp on wall ' * (number % 3 + 1)} is out." for number in range(1, 11)]
    with _two(person, iter(texts[1::2]), iter(texts[2::2])) as (first, second):
        began = time.monotonic()
        second.session.send(first.session, texts[0])
        eventually(
            lambda: all(_counts(first, texts[0::2])) and all(_counts(second, texts[1::2])), "ten messages", 90.0
        )
        print(f"ten messages between two idle agents: {time.monotonic() - began:.1f} s")
        for desk in (first, second):
            desk.await_sign("idle", "Stop")
            assert desk.agent.model.failures == []
        assert _counts(first, texts[0::2]) == [1] * 5
        assert _counts(second, texts[1::2]) == [1] * 5
        # Mail that comes before the end of the turn that has asked for it needs no wake.
        assert {woken_by(first, text) for text in texts[0::2]} <= {waking.CLAUDE_CODE, None}
        assert woken_by(first, texts[0]) == woken_by(second, texts[1]) == waking.CLAUDE_CODE


@pytest.mark.mechanism
@pytest.mark.timeout(300)
def test_two_agents_that_only_thank_each_other_stop_by_themselves(person: Shell) -> None:
    """The brake holds the wakes of one, whose last mail waits then. What its person writes releases it."""
    thanks = (f"Thank you very much for your kind message of the {number}th hour." for number in itertools.count())
    with _two(person, thanks, thanks) as (first, second):
        second.session.send(first.session, "Thank you.")

        def held() -> list[WakeDesk]:
            return [desk for desk in (first, second) if _has_stopped(desk)]

        eventually(lambda: bool(held()), "the brake", 180.0)
        counts = [len(desk.agent.model.calls) for desk in (first, second)]
        print(f"thanks: {counts} requests until the brake held")
        # Each message takes a turn of two requests; the brake is at ten turns.
        assert max(counts) <= 2 * 14
        [one, *_] = held()
        wake = one.known()["presence"]["wake"]
        assert "a prompt of a person ends that" in wake["reason"]
        one.send("late;")
        person.done("send", "--to", one.session.session_id, "--message", "Go on, please.", "--as", "operator")
        eventually(lambda: 1 in one.shown("| Go on, please."), "the person's mail in a request", 90.0)
        released = one.shown("| Go on, please.").index(1)
        assert one.shown("| late;").index(1) == released == counts[first is not one]


def _has_stopped(desk: WakeDesk) -> bool:
    """Whether its agent is idle, and mail waits for which it is not woken."""
    found = presence_of(desk.session)
    return found["state"] == "idle" and found["wake"]["state"] == "held" and found.get("unread", 0) > 0


def _counts(desk: WakeDesk, texts: list[str]) -> list[int]:
    """How often each text of a mail is in the last request."""
    calls = desk.agent.model.calls
    return [calls[-1].count(f"| {text}") if calls else 0 for text in texts]


@contextlib.contextmanager
def _two(
    person: Shell, first_lines: Iterator[str], second_lines: Iterator[str]
) -> Iterator[tuple[WakeDesk, WakeDesk]]:
    """Two idle agents, each on its screen, that answer their mail with these lines."""
    agents: tuple[list[Agent], list[Agent]] = ([], [])
    with (
        at_a_wake_desk(KIND, person, Answerer(agents[0], first_lines), name="first") as first,
        at_a_wake_desk(KIND, person, Answerer(agents[1], second_lines), name="second") as second,
    ):
        agents[0].append(first.agent)
        agents[1].append(second.agent)
        with on_screen(first.agent, ""), on_screen(second.agent, ""):
            for desk in (first, second):
                desk.await_sign("idle", "SessionStart")
            yield first, second
