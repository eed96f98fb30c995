"""Wakes: an idle agent on its screen, whose mail starts a turn.

Rule: a test counts the requests of the model. That no more come is shown by a later mail, which would else be in
another request. No test waits for a time to pass.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from agents.clients import at_work
from agents.desk import Desk, answer_offered, shown_in
from agents.turns import Say
from maestro_runtime import hook_state
from maestro_schemas.texts.waking import WAKE_FILE
from support.post_office import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agents.clients import Agent
    from agents.stand_in import Model
    from agents.turns import Request, Turn
    from maestro_schemas.documents import SessionDoc
    from support.cli_shell import Shell

WITHIN_S = 3.0
LAST = "This is the last mail."
# What a bare Python takes on an idle machine.
_BARE_S = 0.05
_WAITED_S_MAX = 90.0


class WakeDesk(Desk):
    """`times`: when each of the model's requests came, by `time.monotonic`."""

    def __init__(self, agent: Agent, session: Shell, colleague: Shell, times: list[float]) -> None:
        super().__init__(agent, session, colleague)
        self.times = times

    def send(self, text: str, **more: Any) -> float:
        """Send a message as the colleague; when the broker had accepted it."""
        self.colleague.send(self.session, text, **more)
        return time.monotonic()

    def await_requests(self, count: int) -> None:
        """Wait until the model has had this many requests."""
        eventually(lambda: len(self.agent.model.calls) >= count, f"{count} requests", _WAITED_S_MAX)

    def await_sign(self, state: str, event: str = "") -> None:
        """Wait until the session's last sign has this state, and is of this event."""

        def is_there() -> bool:
            sign = self.sign()
            return sign is not None and sign.state == state and event in ("", sign.event)

        eventually(is_there, f"the sign {state} {event}", _WAITED_S_MAX)

    def sign(self) -> hook_state.HookState | None:
        """The session's last sign."""
        return hook_state.read(hook_state.path(self.session.data, self.session.session_id))

    def turn(self, requests: int = 1) -> None:
        """Wait for the end of the turn with the model's request of this number."""
        self.await_requests(requests)
        self.await_sign("idle", "Stop")

    def known(self) -> SessionDoc:
        """The session as the operator sees it."""
        with self.session.anonymous().client() as operator:
            return operator.session(self.session.session_id)

    def shown(self, text: str) -> list[int]:
        """How often the text is in each request."""
        return shown_in(self.agent.model.calls, text)

    def took(self, what: str, sent_s: float, request: int, within_s: float = WITHIN_S) -> None:
        """Check how long after the send this request came, and print it."""
        took_s = self.times[request - 1] - sent_s
        allowed_s = within_s * load()
        print(f"{what}: in a request {took_s:.2f} s after the send; allowed {allowed_s:.1f} s")
        assert took_s <= allowed_s

    def await_claim(self) -> None:
        """Wait until the broker has asked for a wake, and the client's hook has claimed it."""
        eventually(lambda: self.known()["presence"]["wake"]["state"] == "woken", "a wake", _WAITED_S_MAX)
        folder = os.path.join(self.session.data, "messages", "by-receiver", self.session.session_id)
        eventually(lambda: not os.path.exists(os.path.join(folder, WAKE_FILE)), "its claim", _WAITED_S_MAX)

    def end_with(self, requests: int) -> None:
        """Send the last mail, which must be in the request of this number: none came between."""
        self.await_sign("idle")
        self.send(LAST)
        self.await_requests(requests)
        self.await_sign("idle", "Stop")
        assert self.shown(LAST) == [0] * (requests - 1) + [1]
        assert self.agent.model.failures == []


def load() -> float:
    """How many times longer than on an idle machine a program may take now; at least 1."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-S", "-c", "pass"], check=True)
    bare = (time.monotonic() - began) / _BARE_S
    return max(1.0, bare, os.getloadavg()[0] / (os.cpu_count() or 1))


@contextlib.contextmanager
def at_a_wake_desk(
    kind: str,
    person: Shell,
    model: Model | None = None,
    *,
    name: str = "agent",
    session: Shell | None = None,
    asks: bool = False,
    install: tuple[str, ...] = (),
) -> Iterator[WakeDesk]:
    """An agent that a person can start on its screen, its hooks installed with the options `install`. `asks`: whether
    it asks the person before it runs a command. `model`: by default one that is done at once."""
    colleague = person.session(f"colleague-of-{name}", role="orchestrator")
    session = session or person.session(name)
    times: list[float] = []

    def timed(request: Request) -> Turn:
        times.append(time.monotonic())
        return Say("I am done.") if model is None else model(request)

    with at_work(kind, timed, os.path.join(person.root, name), session.environ) as agent:
        agent.ask_person()
        if not asks:
            with open(agent.settings(), "w", encoding="utf-8") as file:
                json.dump({"permissions": {"allow": ["Bash"]}}, file)
        agent.install_hooks(*install)
        yield WakeDesk(agent, session, colleague, times)


class Answerer:
    """A model that answers each mail by the command that came with it, with the next of `lines`, if any is left."""

    def __init__(self, agent: list[Agent], lines: Iterator[str]) -> None:
        # The agent, once it is there.
        self._agent = agent
        self._lines = lines
        self._answered: set[str] = set()

    def __call__(self, request: Request) -> Turn:
        offered = answer_offered(request)
        if offered is None or offered in self._answered:
            return Say("I am done.")
        self._answered.add(offered)
        line = next(self._lines, None)
        return Say("That is all.") if line is None else self._agent[0].shell(f"{offered} --message '{line}'")
