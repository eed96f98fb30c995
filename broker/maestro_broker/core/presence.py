"""Presence: what is known of a session at the moment of a request, and when it sees a new message.

Rule: it is derived from signs when it is asked for, and never stored. Every state has the time of its sign. A process
that has ended outweighs what its hooks said before. An old sign is shown with its age, and no timer calls a session
gone. Nothing is read for a session that has neither an agent nor a process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from maestro_schemas.limits import SILENT_AFTER_MS
from maestro_schemas.sessions import NeedsInput, Presence, WakeState
from maestro_schemas.texts.waking import HOOKED, SWITCHED_OFF, WOKEN

if TYPE_CHECKING:
    from maestro_schemas.messages import Message
    from maestro_schemas.replies import Reach
    from maestro_schemas.sessions import Session

    from .context import RequestContext
    from .model.session_registry import SessionState
    from .model.signs import HookSign, Signs

AGENT_GONE = "its agent is gone"
# A file's time may be this much older than the time of the start that was recorded before it.
_CLOCK_STEP_MS = 1_000


def of(context: RequestContext, found: SessionState) -> Presence:
    """What is known of a session."""
    session = found.session
    if not found.active:
        return Presence("ended", since=session.completed_at, by="broker")
    known = _derived(context, found, _signs(context, found))
    if session.wake_by is None and session.wake == "idle" and (known.by != "hook" or session.agent not in HOOKED):
        return known
    return replace(known, wake=_wake(context, found, known))


def sign(context: RequestContext, found: SessionState) -> HookSign | None:
    """The last sign of a session's hooks, where its agent still runs and has not left."""
    hook = _signs(context, found).hook
    return None if hook is None or hook.state == "left" or hook.alive is False else hook._replace(alive=None)


def is_gone(context: RequestContext, found: SessionState) -> bool:
    """Whether the process that an active session belongs to has ended, and no other sign says that it is in use."""
    return of(context, found).state == "gone" and found.session.pid is not None


def at_send(context: RequestContext, found: SessionState, message: Message) -> tuple[Reach, Presence | None]:
    """When a receiver sees this message, which is accepted now, and what is known of it (None: nothing)."""
    if not found.active:
        return "ended", None
    if found.session.agent is None and found.session.pid is None:
        # Mostly no one watches at all.
        return "watching" if context.topics and context.is_watched(found.session.id) else "inbox", None
    known = of(context, found)
    if context.is_watched(found.session.id):
        return "watching", known
    return _reach(context, found.session, known, message), known


def shown(context: RequestContext, found: SessionState) -> Session:
    """The session as a reply shows it, with the fields that are computed. `status` and `needsInput` follow the hooks'
    signs, so that no field contradicts another."""
    session, known = found.session, of(context, found)
    status, needs_input = session.status, session.needs_input
    if known.by == "hook" and known.state in ("working", "waiting", "idle"):
        status = "idle" if known.state == "idle" else "working"
        if known.state == "waiting" and needs_input is None:
            needs_input = NeedsInput(active=True, message=known.detail, since=known.since)
    return replace(
        session,
        status=status,
        needs_input=needs_input,
        last_activity=found.last_activity_ms,
        watching=context.is_watched(session.id),
        presence=known,
    )


def _signs(context: RequestContext, found: SessionState) -> Signs:
    signs = context.signs(found, context.now_ms)
    if signs.hook is not None and signs.hook.at_ms + _CLOCK_STEP_MS < found.session.started_at:
        # It is about an earlier session with this id.
        return signs._replace(hook=None)
    return signs


def _derived(context: RequestContext, found: SessionState, signs: Signs) -> Presence:
    session, hook = found.session, signs.hook
    if hook is not None and hook.state == "left":
        hook = None
    if hook is not None and hook.alive is not False:
        # What began the turn is no concern of a sender.
        detail = None if hook.detail == WOKEN else hook.detail
        return Presence(hook.state, since=_past(hook.at_ms, context.now_ms), by="hook", detail=detail)  # type: ignore[arg-type]
    if context.is_watched(session.id):
        return Presence("watching", by="subscription")
    last_ms = _last_sign_ms(found, hook, context.now_ms)
    if signs.alive is False or (hook is not None and session.pid is None):
        return Presence("gone", since=last_ms, by="process")
    if hook is not None:
        return Presence("unknown", since=last_ms, by="broker", detail=AGENT_GONE)
    if (asks := session.needs_input) is not None and asks.active:
        since = last_ms if asks.since is None else _past(asks.since, context.now_ms)
        return Presence("waiting", since=since, by="broker", detail=asks.message)
    if session.status == "working":
        return Presence("working", since=last_ms, by="broker")
    return Presence("unknown", since=last_ms, by="broker")


def _wake(context: RequestContext, found: SessionState, known: Presence) -> WakeState | None:
    session = found.session
    if session.wake == "off":
        return WakeState("off", session.wake_by, reason=SWITCHED_OFF)
    if found.key is not None:
        return WakeState("off", session.wake_by, reason="its agent is on another machine")
    if known.state == "gone" or known.detail == AGENT_GONE:
        return None
    state = context.wakes(found, context.now_ms)
    if state is not None and state.state == "ready" and known.by != "hook":
        return WakeState("held", state.by, state.at, "no hook of its agent has signed yet what it does")
    return state


def _reach(context: RequestContext, session: Session, known: Presence, message: Message) -> Reach:
    if known.state == "gone":
        return "gone"
    if session.agent is None or known.detail == AGENT_GONE:
        return "inbox"
    at_work = known.state in ("working", "waiting")
    # A silent turn may have been broken off; then the next sign is a prompt.
    fresh = known.since is not None and context.now_ms - known.since < SILENT_AFTER_MS
    if at_work and fresh:
        return "tool"
    is_wakeable = known.wake is not None and known.wake.state in ("ready", "woken")
    return "wake" if is_wakeable and message.wakes else "prompt"


def _last_sign_ms(found: SessionState, hook: HookSign | None, now_ms: int) -> int | None:
    return _past(max(found.last_activity_ms, hook.at_ms if hook is not None else 0), now_ms)


def _past(at_ms: int, now_ms: int) -> int | None:
    """The time of a sign; None for one of the future, since the clock was set back and its age is not known."""
    return at_ms if at_ms <= now_ms + _CLOCK_STEP_MS else None
