"""`maestro session nudge`: allows the broker to wake an idle agent by keys in its terminal, or forbids it again.

Rule: off until a person asks for it, for one session at a time, because keys are not atomic (docs/agents.md).
"""

from __future__ import annotations

from maestro_cli.context import CommandContext
from maestro_cli.output import streams
from maestro_schemas.errors import MaestroError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated, Literal

    from maestro_cli.options import Option
    from maestro_schemas.documents import SessionDoc

USAGE = "maestro session nudge tmux|zellij|off [SESSION] [OPTIONS]"
DETAILS = """\
For an agent that nothing else wakes, such as gemini-cli: mail for its idle
session types `maestro: new mail` and Enter into the pane that it runs in, which
costs a turn of its model. It types only into an empty prompt: not beside text
of yours, a menu, a dialog or copy mode, not while you type, and only while the
agent has the pane. This is not atomic: a key that you press in the last moment
is sent with it. So it is off until you run this.

The agent must have started in that pane, with the hooks of `maestro hooks
install`. For zellij this is written from its manual and was never tried.

Examples:
  maestro session nudge tmux gem
  maestro session nudge off gem"""


def run(
    terminal: Annotated[
        Literal["tmux", "zellij", "off"], Option(name="TERMINAL", help="Where its agent runs; off: no keys.")
    ],
    session_id: Annotated[
        str | None, Option(name="SESSION", help="Id or name. Default: this shell's own session.")
    ] = None,
    /,
    *,
    as_json: Annotated[bool, Option(name="--json", help="Print the session as JSON.")] = False,
) -> int:
    """Allow or forbid keys."""
    from maestro_cli.output.render import plain
    from maestro_runtime import wake_facts
    from maestro_schemas.texts.waking import TMUX, ZELLIJ

    context = CommandContext.here()
    by = {"tmux": TMUX, "zellij": ZELLIJ, "off": ""}[terminal]
    with context.client() as client:
        session = client.session(session_id or context.session())
        known = session.get("wakeBy", "")
        if known not in ("", TMUX, ZELLIJ):
            if by:
                what = f"{known} wakes its agent already"
                raise MaestroError("CONFLICT", what, "No keys are needed. `maestro wake` shows what wakes whom.")
        else:
            before = wake_facts.read(context.data, session["id"])
            _note(context, session, by)
            # An agent's shell speaks for its own session alone.
            is_person = context.agent_sign() is None and session["id"] != context.own_session
            caller = context.as_operator().caller if is_person else None
            try:
                session = client.touch_session(session["id"], wakeBy=by, caller=caller)
            except MaestroError:
                # What is noted would allow keys at the next start of its agent.
                wake_facts.restore(context.data, session["id"], before)
                raise
        if not by:
            wake_facts.remove(context.data, session["id"])
    who = plain(session.get("name") or session["id"])
    if as_json:
        streams.say_json(session)
    elif by:
        streams.tell(f"Mail wakes {who} by keys in {terminal}. To undo: maestro session nudge off {who}")
    else:
        streams.tell(f"No keys are typed for {who}.")
    return 0


def _note(context: CommandContext, session: SessionDoc, by: str) -> None:
    """Note the terminal of the session's agent. Raises MaestroError CONFLICT where it has none that is known."""
    from maestro_cli.hooks.waking import keys
    from maestro_runtime import hook_state, wake_facts
    from maestro_runtime.process_identity import is_alive

    if not by:
        return
    if context.is_remote:
        raise MaestroError(
            "CONFLICT", "the broker is on another machine, and types no keys on this one", "Run it there."
        )
    sign = hook_state.read(hook_state.path(context.data, session["id"]))
    if sign is None or not sign.pid or is_alive(sign.pid, sign.pid_start) is False:
        raise MaestroError(
            "CONFLICT",
            f"no agent runs in {session['id']}, or its hooks have said nothing yet",
            "Install its hooks (maestro hooks install AGENT), start it in its pane, then run this again.",
        )
    try:
        wake_facts.write(context.data, session["id"], keys.facts(by, sign.pid))
    except (OSError, ValueError) as error:
        raise MaestroError(
            "DATA_DIR_UNUSABLE", f"the pane could not be noted: {error}", "`maestro doctor` looks at the files."
        ) from None
