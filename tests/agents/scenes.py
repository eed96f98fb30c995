"""Scenes: what every agent must do with mail, and what each agent does with a hook's output.

Rule: a scene starts from an operator's shell on a new data directory and checks what its docstring says. The test
passes the differences between agents as arguments.
"""

from __future__ import annotations

import json
import os
import shlex
from typing import TYPE_CHECKING, Any

from agents.clients import at_work
from agents.desk import answer_offered, at_a_desk, await_mail, presence_of, shown_in
from agents.screens import on_screen
from agents.turns import Say
from support.post_office import eventually

if TYPE_CHECKING:
    from agents.turns import Request, Turn
    from support.cli_shell import Shell

TEXT = "The lighthouse needs 3 new lamps, please."
LATE = "And 2 ropes, please."
TYPED = "half a sentence, and (a) 'quote' $HOME"
TO_ALL = "Stop, main is red."


def mail_at_the_start(kind: str, person: Shell, event: str) -> None:
    """Waiting mail is in the first request, and its sender sees which hook delivered it."""
    _mail_that_waits(kind, person, event, "")


def mail_at_the_prompt(kind: str, person: Shell, event: str) -> None:
    """The same for mail that arrives between two prompts, after the start of the session."""
    _mail_that_waits(kind, person, event, "SessionStart")


def _mail_that_waits(kind: str, person: Shell, event: str, without: str) -> None:
    with at_a_desk(kind, person, [Say("Noted.")], without=without) as desk:
        sent = desk.mail(TEXT)
        desk.agent.run("Go on.")
        assert shown_in(desk.agent.model.calls, TEXT) == [1]
        assert desk.receipt(sent) == ("delivered", f"hook:{kind}:{event}")


def mail_after_a_tool_call(kind: str, person: Shell, event: str) -> None:
    """Mail that arrives while the agent works is in the request after its next tool call."""
    sent: list[str] = []

    def model(request: Request) -> Turn:
        if not sent:
            sent.append(desk.mail(TEXT))
            return desk.agent.shell("echo at work")
        return Say("Noted.")

    with at_a_desk(kind, person, model) as desk:
        desk.agent.run("Go on.")
        assert shown_in(desk.agent.model.calls, TEXT) == [0, 1]
        assert desk.receipt(sent[0]) == ("delivered", f"hook:{kind}:{event}")


def mail_at_the_end_of_a_turn(kind: str, person: Shell, event: str) -> None:
    """Mail that arrives too late for the turn makes the agent continue, once."""
    sent: list[str] = []

    def model(request: Request) -> Turn:
        if not sent:
            sent.append(desk.mail(TEXT))
            return Say("I am done.")
        return Say("Now I am.")

    with at_a_desk(kind, person, model) as desk:
        done = desk.agent.run("Go on.")
        assert shown_in(desk.agent.model.calls, TEXT) == [0, 1]
        assert done.out.rstrip().endswith("Now I am.")
        assert desk.receipt(sent[0]) == ("delivered", f"hook:{kind}:{event}")


def loud_mail_to_several(kind: str, person: Shell, event: str) -> None:
    """Mail to several sessions that asks for something makes the agent continue, once, and its line says what."""
    sent: list[str] = []

    def model(request: Request) -> Turn:
        if not sent:
            sent.append(desk.mail_to_all(TO_ALL, requiresAck=True))
            return Say("I am done.")
        return Say("Now I am.")

    with at_a_desk(kind, person, model) as desk:
        desk.agent.run("Go on.")
        assert shown_in(desk.agent.model.calls, TO_ALL) == [0, 1]
        assert shown_in(desk.agent.model.calls, "(to 2 sessions; asks for acknowledgement)") == [0, 1]
        assert desk.receipt(sent[0]) == ("delivered", f"hook:{kind}:{event}")


def quiet_mail_to_several(kind: str, person: Shell, event: str) -> None:
    """Mail to several sessions that asks for nothing lets the turn end, and is in the next turn's request, once.

    `event`: that of a prompt; the start's hook is left out, so that it shows nothing before.
    """
    sent: list[str] = []

    def model(request: Request) -> Turn:
        if not sent:
            sent.append(desk.mail_to_all(TO_ALL))
        return Say("I am done.")

    with at_a_desk(kind, person, model, without="SessionStart") as desk:
        desk.agent.run("Go on.")
        assert shown_in(desk.agent.model.calls, TO_ALL) == [0], "the turn has ended"
        assert desk.receipt(sent[0]) == ("pending", None)
        desk.agent.run("And now?")
        assert shown_in(desk.agent.model.calls, TO_ALL) == [0, 1]
        assert shown_in(desk.agent.model.calls, "(to 2 sessions; no answer needed)") == [0, 1]
        assert desk.receipt(sent[0]) == ("delivered", f"hook:{kind}:{event}")


def nothing_without_mail(kind: str, person: Shell) -> None:
    """Without mail the hooks add nothing to the context."""

    def model(request: Request) -> Turn:
        return Say("Done.") if len(desk.agent.model.calls) > 1 else desk.agent.shell("true")

    with at_a_desk(kind, person, model) as desk:
        desk.agent.run("Go on.")
        assert shown_in(desk.agent.model.calls, "Maestro mail") == [0, 0]


def answer_from_a_session_of_its_own(kind: str, person: Shell) -> str:
    """An agent that was started without a session is given one by its hooks: it is written to, and answers by the
    command that came with the mail. The id of that session.
    """
    colleague = person.session("colleague", role="orchestrator")
    found: list[Shell] = []

    def model(request: Request) -> Turn:
        if not found:
            with colleague.client() as client:
                others = {one["id"] for one in client.sessions()} - {colleague.session_id}
                [own] = others
                found.append(person.like(MAESTRO_SESSION_ID=own))
                client.send(own, TEXT)
            await_mail(found[0])
            return agent.shell("echo at work")
        if TEXT in request and "Here they are." not in request:
            offered = answer_offered(request)
            assert offered is not None
            return agent.shell(f"{offered} --message 'Here they are.'")
        return Say("Done.")

    with at_work(kind, model, os.path.join(person.root, "agent"), person.environ) as agent:
        agent.install_hooks()
        agent.run("Go on.")
        [answer] = colleague.inbox()
    assert answer["message"] == "Here they are."
    assert answer["from"] == found[0].session_id
    return found[0].session_id


def answer_of_a_person(
    kind: str, person: Shell, dialog: str, detail: str, words: str, asks: Turn | None = None
) -> None:
    """While the agent asks a person on its screen, `maestro who` says that it waits, and for what. After the answer
    it works, and at the end of its turn it is idle.

    `dialog`: what the person reads. `asks`: the turn that makes the agent ask; default: a command that needs a
    permission.
    """
    session = person.session("agent")
    states: list[str] = []

    def model(request: Request) -> Turn:
        if not states:
            states.append("asks")
            return asks or agent.asking_shell("touch made")
        # A client may ask its model for other things while the person has not answered.
        if len(states) > 1:
            states.append(presence_of(session)["state"])
        return Say("I am done.")

    with at_work(kind, model, os.path.join(person.root, "agent"), session.environ) as agent:
        agent.ask_person()
        agent.install_hooks()
        with on_screen(agent, "Make the file.") as screen:
            screen.wait_for(dialog)
            eventually(lambda: presence_of(session)["state"] == "waiting", "it waits")
            waiting = presence_of(session)
            assert (waiting["by"], waiting.get("detail"), waiting["agent"]) == ("hook", detail, kind)
            said = person.done("who").out
            assert said.splitlines()[-1] == f"1 waits for a person: agent ({words})"
            states.append("answered")
            screen.press("Enter")
            eventually(lambda: presence_of(session)["state"] == "idle", "the turn has ended", 60.0)
        assert agent.model.failures == []
        assert states == ["asks", "answered", "working"]
        assert asks is not None or os.path.exists(os.path.join(agent.work, "made"))


def mail_to_an_idle_agent(kind: str, person: Shell, by: str) -> None:
    """Mail that comes after a turn is in a model request, once and by itself, and what the person has typed stays.
    Mail at the end of that turn is in it too."""
    late: list[str] = []

    def model(request: Request) -> Turn:
        if TEXT in request and not late:
            late.append(desk.mail(LATE))
        return Say("Noted.")

    with at_a_desk(kind, person, model) as desk:
        desk.agent.ask_person()
        with on_screen(desk.agent, "Go on.") as screen:
            eventually(
                lambda: len(desk.agent.model.calls) == 1 and presence_of(desk.session)["state"] == "idle",
                "idle",
                90.0,
            )
            assert presence_of(desk.session)["wake"] == {"state": "ready", "by": by}
            screen.type(TYPED)
            sent = desk.colleague.send(desk.session, TEXT)
            eventually(lambda: bool(late) and desk.receipt(late[0])[0] == "delivered", "a turn with the mail", 60.0)
            eventually(lambda: presence_of(desk.session)["state"] == "idle", "the end of that turn", 60.0)
            assert TYPED in screen.text()
    calls = desk.agent.model.calls
    assert desk.agent.model.failures == []
    assert shown_in(calls, TEXT) == [0, 1, 1]
    assert shown_in(calls, LATE) == [0, 0, 1]
    assert desk.receipt(sent) == ("delivered", f"hook:{kind}:UserPromptSubmit")
    assert desk.receipt(late[0]) == ("delivered", f"hook:{kind}:Stop")
    with person.client() as operator:
        [event] = operator.events(-1, message=sent, events=["message.delivered"])["events"]
        [last] = operator.events(-1, message=late[0], events=["message.delivered"])["events"]
    assert event["wokenBy"] == by
    assert "wokenBy" not in last


def seen_of(
    kind: str, person: Shell, event: str, output: Any, text: str, *, approved: bool = True, turns: int = 3
) -> list[int]:
    """How many times each request has `text` when a hook of `event` prints `output`, once.

    The model runs a tool, then is done, and again each time it is asked for more.
    """
    printed = output if isinstance(output, str) else json.dumps(output)
    path = os.path.join(person.root, "printed")
    with open(path, "w", encoding="utf-8") as file:
        file.write(printed)
    # The second call prints nothing; otherwise the turn would never end.
    once = shlex.quote(path)

    def model(request: Request) -> Turn:
        asked = len(agent.model.calls)
        assert asked <= turns, "the agent does not stop"
        return agent.shell("echo at work") if asked == 1 else Say("Done.")

    with at_work(kind, model, os.path.join(person.root, "agent"), person.environ) as agent:
        agent.write_hooks({event: f"[ ! -f {once} ] || {{ cat {once}; rm {once}; }}"}, approved=approved)
        agent.run("Go on.")
        return shown_in(agent.model.calls, text)


def added(event: str, text: str) -> dict[str, Any]:
    """The output by which a hook adds text to the context."""
    return {"hookSpecificOutput": {"hookEventName": event, "additionalContext": text}}


def long_text(size: int) -> str:
    """A text of that size whose last word is a mark."""
    return ("word " * (size // 5))[: size - 5] + "WHOLE"
