"""Wake trial: one message to an idle agent, and how long it takes until a hook of the woken turn shows it.

Rule: it is sent only where a wake can follow, because a turn of a model costs money. What keeps an agent from being
woken is a typed error with the next step. The agent that runs the command is at work, so it can't try itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from maestro_cli import following
from maestro_cli.context import CommandContext, now_ms
from maestro_cli.output import streams
from maestro_clients.texts import wake_words
from maestro_clients.texts.ages import aged
from maestro_schemas.errors import MaestroError
from maestro_schemas.names import OPERATOR
from maestro_schemas.texts import waking

from . import wake_table

if TYPE_CHECKING:
    from maestro_clients.client import Client
    from maestro_schemas.documents import EventDoc, SessionDoc

TEXT = "This is a test of waking (maestro wake --test). Nothing is to be done, and no answer is needed."
# A message that no hook has fetched must not surprise the agent on another day.
_LIFE_MS = 3_600_000
_SHOWN = ("message.offered", "message.delivered", "message.read")


class TrialOutcome(NamedTuple):
    """What became of the message."""

    session: SessionDoc
    message_id: str
    # From the acceptance of the message until it was shown.
    seconds: float
    # What showed it.
    via: str
    # What began the turn before; None where it was no wake.
    woken_by: str | None

    def document(self) -> dict[str, Any]:
        """The outcome as JSON."""
        return {
            "session": self.session["id"],
            "message": self.message_id,
            "seconds": self.seconds,
            "via": self.via,
            "wokenBy": self.woken_by,
        }

    def sentence(self) -> str:
        """The outcome in words."""
        who, after = wake_table.label(self.session), f"{self.seconds:.1f} s after it was sent"
        return f"{who} was woken by {self.woken_by}: {self.via} showed it the message {after}."


def run(context: CommandContext, session_id: str | None, timeout_s: float) -> TrialOutcome:
    """Send the message and wait. Raises MaestroError STATUS_CONFLICT where no wake can follow, or none did; TIMEOUT
    where no hook has shown it in time; and what the broker refuses."""
    speaker = _speaker(context)
    with speaker.full_client() as client:
        session = client.session(session_id or context.session())
        hello = client.hello()
        grace_ms = hello["limits"].get("wake_grace_ms", 0)
        own = context.own_session if context.agent_sign() is not None else None
        problem = obstacle(session, own, is_person=speaker.own_session == OPERATOR, grace_ms=grace_ms, at_ms=now_ms())
        who, head = wake_table.label(session), hello["headLsn"]
        if problem is not None:
            raise MaestroError("STATUS_CONFLICT", f"{who} was not tried: {problem[0]}", problem[1])
        streams.note(f"maestro: this begins a turn of {who}'s agent, which costs what a turn costs")
        sent = client.send(session["id"], TEXT, metadata={"type": "notification"}, ttl_ms=_LIFE_MS)
        streams.note(f"maestro: sent {sent['id']}; waiting {timeout_s:g} s for the hook that shows it")
    shown = _Shown(sent["id"], head)
    following.follow(speaker, speaker.own_session, shown.look, concerns=shown.concerns, timeout_s=timeout_s)
    event = shown.event
    if event is None:
        raise _late(speaker, session, sent["id"], timeout_s)
    via, woken_by = event.get("via", "an unknown reader"), event.get("wokenBy")
    seconds = max(0, event["at"] - sent["createdAt"]) / 1000
    if woken_by is None:
        raise MaestroError(
            "STATUS_CONFLICT",
            f"{via} showed {who} the message after {seconds:.1f} s, in no turn that a wake began",
            "It was at work, or another reader was faster. Try again while `maestro who` shows it idle.",
            details={"via": via, "seconds": seconds},
        )
    return TrialOutcome(session, sent["id"], seconds, via, woken_by)


def obstacle(
    session: SessionDoc, agents_own: str | None, *, is_person: bool, grace_ms: int, at_ms: int
) -> tuple[str, str] | None:
    """What keeps the agent from being woken by a message, and the next step; None where nothing is known to.

    `agents_own`: the session of the agent whose shell this is. `is_person`: whether a person sends the message, who
    ends a row of wakes. `grace_ms`: the age at which a sign of work is too old to hold back a wake.
    """
    who = wake_table.label(session)
    presence = session.get("presence", {})
    state, since = presence.get("state"), presence.get("since")
    wake: dict[str, Any] = dict(presence.get("wake", {}))
    if session["id"] == agents_own:
        return (
            "it runs this command, so it is at work, and only an idle agent is woken",
            f"The person runs `maestro wake --test {who}` in another terminal, while this agent is idle.",
        )
    if "completedAt" in session or state == "gone":
        return "its agent is gone", "Start the agent again."
    if session.get("wake") == "off":
        return waking.SWITCHED_OFF, f"maestro wake --on {who}"
    if "agent" not in session or not (session.get("wakeBy") or wake):
        return wake_table.unable(session.get("agent")), "`maestro doctor` checks the hooks."
    if wake.get("state") in ("off", "unanswered"):
        return wake_words.why_not(wake, at_ms), "A prompt in its own screen ends that, unless it is switched off."
    if wake.get("state") == "held" and not is_person:
        return wake_words.why_not(wake, at_ms), "A prompt of the person, or a message of theirs, ends that."
    if session.get("watching"):
        return (
            "a program watches its inbox, and would take the message first",
            "End that program (`maestro inbox --watch`), and try again.",
        )
    if state in ("working", "waiting") and (since is None or at_ms - since < grace_ms):
        return f"it is {state}, and only an idle agent is woken", "Try again once `maestro who` shows it idle."
    if state not in ("idle", "working", "waiting"):
        return "no hook of it has given a sign yet", "Give it a prompt first; `maestro doctor` checks the hooks."
    return None


def _speaker(context: CommandContext) -> CommandContext:
    """Who sends: an agent as its own session, a person as the operator."""
    if context.agent_sign() is not None:
        context.session()
        return context
    return CommandContext(context.environ, context.data, OPERATOR, None)


class _Shown:
    """Waits for the event that says that the message was shown."""

    def __init__(self, message_id: str, after: int) -> None:
        self._id = message_id
        self._after = after
        self.event: EventDoc | None = None

    def look(self, client: Client) -> bool:
        """Whether to go on waiting."""
        found = client.events(self._after, message=self._id, events=list(_SHOWN))["events"]
        self.event = found[0] if found else None
        return not found

    def concerns(self, event: EventDoc) -> bool:
        return event.get("id") == self._id


def _late(speaker: CommandContext, session: SessionDoc, message_id: str, timeout_s: float) -> MaestroError:
    """No hook has shown the message: what the broker says of it now."""
    who, at_ms = wake_table.label(session), now_ms()
    with speaker.full_client() as client:
        presence = client.session(session["id"]).get("presence", {})
    wake = presence.get("wake", {})
    if "at" in wake:
        what = f"it was woken {aged(wake['at'], at_ms)} ago"
        hint = "Is a dialog open in its screen, or is its folder not trusted?"
    else:
        what = (
            wake_words.why_not(dict(wake), at_ms) or f"no wake was made, and it is {presence.get('state', 'unknown')}"
        )
        hint = "`maestro who` shows what it does."
    return MaestroError(
        "TIMEOUT",
        f"no hook of {who} has shown the message within {timeout_s:g} s: {what}",
        f"{hint} `maestro doctor` checks the hooks, and {speaker.data}/logs/wake.log says what was tried. The "
        f"message waits for an hour: maestro message receipt {message_id}",
    )
