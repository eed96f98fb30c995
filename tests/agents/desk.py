"""Desk: an agent with hooks and a session, and a colleague that sends mail to it.

Rule: mail is "there" once the agent's hook could see it, so that a test never waits for a moment to pass.
"""

from __future__ import annotations

import contextlib
import os
import re
from typing import TYPE_CHECKING, Any

from agents.clients import at_work
from support.post_office import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from agents.clients import Agent
    from agents.stand_in import Model
    from agents.turns import Request, Turn
    from maestro_schemas.documents import SessionPresenceDoc
    from support.cli_shell import Shell

# As the hook's text offers it; the three dots stand for the answer.
_ANSWER = re.compile(r'Answer: (.+) "\.\.\."')


class Desk:
    """`session`: the agent's own, as a shell; None where its hooks make one."""

    def __init__(self, agent: Agent, session: Shell, colleague: Shell) -> None:
        self.agent = agent
        self.session = session
        self.colleague = colleague

    def mail(self, text: str, **more: Any) -> str:
        """Send a message as the colleague; its id, as soon as the agent's hook can see it."""
        message_id = self.colleague.send(self.session, text, **more)
        await_mail(self.session)
        return message_id

    def mail_to_all(self, text: str, **metadata: Any) -> str:
        """The same for one message to the agent and another session; `metadata`: what it asks of them."""
        to = [self.session, self.colleague.session("another")]
        message_id: str = self.colleague.send_to_all(to, text, metadata=metadata)["id"]
        await_mail(self.session)
        return message_id

    def receipt(self, message_id: str) -> tuple[str, str | None]:
        """The status of a message in the agent's mailbox, and what delivered it."""
        with self.colleague.anonymous().client() as operator:
            message = operator.message(message_id, session=self.session.session_id)
        return message["status"], message.get("deliveredVia")


@contextlib.contextmanager
def at_a_desk(kind: str, person: Shell, model: Model | Sequence[Turn], *, without: str = "") -> Iterator[Desk]:
    """An agent at a desk for as long as the block runs, its hooks installed by `maestro hooks install`.

    `without`: an event whose hook is taken out again.
    """
    colleague = person.session("colleague", role="orchestrator")
    session = person.session("agent")
    with at_work(kind, model, os.path.join(person.root, "agent"), session.environ) as agent:
        agent.install_hooks(without=without)
        yield Desk(agent, session, colleague)


def await_mail(session: Shell) -> None:
    """Wait until a hook of this session would find mail."""
    marker = os.path.join(session.data, "messages", "by-receiver", session.session_id, ".pending")
    eventually(lambda: os.path.exists(marker), f"mail for {session.session_id}", 40.0)


def presence_of(session: Shell) -> SessionPresenceDoc:
    """What the operator sees of a session."""
    with session.anonymous().client() as operator:
        [found] = operator.presence(session=session.session_id)
    return found


def shown_in(calls: Sequence[Request], text: str) -> list[int]:
    """How often the text is in each request."""
    return [call.count(text) for call in calls]


def answer_offered(request: Request) -> str | None:
    """The newest reply command in the request, up to the place of the answer."""
    found = [command for text in request.texts() for command in _ANSWER.findall(text)]
    return str(found[-1]) if found else None
