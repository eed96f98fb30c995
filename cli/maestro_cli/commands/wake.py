"""`maestro wake`: which agents mail wakes from idle, the setting of each, and a test of it.

Rule: without an option it only shows. The test says before that it costs a turn of the agent's model.
"""

from __future__ import annotations

from maestro_cli.context import CommandContext, now_ms
from maestro_cli.output import streams
from maestro_schemas.errors import MaestroError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated, Any

    from maestro_cli.options import Option
    from maestro_schemas.documents import SessionDoc

USAGE = "maestro wake [SESSION] [OPTIONS]"
DETAILS = """\
Mail wakes an idle agent: the broker has the agent's client start a turn, whose
hook shows the mail. Each wake costs a turn of the agent's model. Quiet mail and
mail of low priority wakes none. STATE: ready, woken (no hook has taken the mail
yet), unanswered (woken twice in vain; its next sign ends that), held (too many
wakes), off (its setting), none (nothing can wake it).

--off and --on are for the session itself and for the operator. --test sends a
message to an idle agent and reports after how many seconds which hook showed
it: exit code 0 if a wake began that turn, 4 if none could or did, 7 if nothing
came in time. An agent can't test itself, since it is at work then.

Examples:
  maestro wake
  maestro wake bob --off
  maestro wake bob --on
  maestro wake bob --test --timeout 90s"""

_DEFAULT_TIMEOUT = "60s"


def run(
    session_id: Annotated[
        str | None, Option(name="SESSION", help="Id or name. Default: all; to set or test, this shell's own.")
    ] = None,
    /,
    *,
    off: Annotated[bool, Option(help="Mail wakes its agent no longer; it waits for the next prompt.")] = False,
    on: Annotated[bool, Option(help="Mail wakes its agent again.")] = False,
    test: Annotated[bool, Option(help="Wake its agent by a message, and report how long that took.")] = False,
    timeout: Annotated[
        str | None, Option(metavar="DURATION", help="With --test: how long to wait. Default: 60s.")
    ] = None,
    as_json: Annotated[
        bool,
        Option(
            name="--json",
            help='Print a JSON array of {"session", "state", "by", ...}; with an option one object.',
        ),
    ] = False,
) -> int:
    """Show, set or test waking."""
    if off + on + test > 1:
        raise MaestroError("INVALID", "--off, --on and --test exclude each other", "Give one of them.")
    if timeout is not None and not test:
        raise MaestroError("INVALID", "--timeout is for --test", "Add --test, or leave --timeout off.")
    context = CommandContext.here()
    if test:
        from maestro_cli.arguments import wait_s
        from maestro_cli.waking import wake_trial

        timeout_s = wait_s("--timeout", _DEFAULT_TIMEOUT if timeout is None else timeout)
        outcome = wake_trial.run(context, _named(context, session_id), timeout_s)
        streams.say(streams.json_line(outcome.document()) if as_json else outcome.sentence())
        return 0
    if off or on:
        _say_set(_set(context, _named(context, session_id), "off" if off else "idle"), as_json=as_json)
        return 0
    return _show(context, session_id, as_json=as_json)


def _named(context: CommandContext, session_id: str | None) -> str:
    if session_id is None and not context.own_session:
        raise MaestroError(
            "INVALID",
            "this shell belongs to no session, and no session is named",
            'Name one: maestro wake SESSION ... For all new ones, set wake = "off" in the config file.',
        )
    return session_id or context.session()


def _show(context: CommandContext, session_id: str | None, *, as_json: bool) -> int:
    from maestro_cli.output.tables import terminal_width
    from maestro_cli.waking import wake_table
    from maestro_clients.protocol import older_brokers

    with context.client() as client:
        if older_brokers.is_older(client.hello()["limits"]):
            raise MaestroError("UNKNOWN_COMMAND", f"{older_brokers.OLDER}: it wakes no agent", older_brokers.RESTART)
        chosen = client.sessions(active=True) if session_id is None else [client.session(session_id)]
    own, at_ms = context.own_session, now_ms()
    found = wake_table.of_agents(chosen, own) if session_id is None else chosen
    if as_json:
        streams.say_json([wake_table.document(session, at_ms) for session in found])
    elif found:
        streams.say("\n".join(wake_table.table(found, own, at_ms, terminal_width(context.environ))))
    else:
        streams.tell("No session of an agent. `maestro hooks install AGENT` makes one at the agent's start.")
    return 0


def _set(context: CommandContext, name: str, wake: str) -> SessionDoc:
    """Set it, as the session itself or as the operator. An agent's shell speaks for its own session alone."""
    with context.client() as client:
        session = client.session(name)
        is_person = context.agent_sign() is None and session["id"] != context.own_session
        caller = context.as_operator().caller if is_person else None
        return client.touch_session(session["id"], wake=wake, caller=caller)


def _say_set(session: SessionDoc, *, as_json: bool) -> None:
    from maestro_cli.waking import wake_table

    document: dict[str, Any] = wake_table.document(session, now_ms())
    if as_json:
        streams.say_json(document)
        return
    who = wake_table.label(session)
    if document["setting"] == "off":
        streams.tell(f"Mail wakes {who} no longer; it waits for its next prompt. To undo: maestro wake {who} --on")
        return
    if "reason" in document:
        streams.tell(f"The wakes of {who} are on, but mail does not wake it now: {document['reason']}")
    else:
        streams.tell(f"Mail wakes {who} from idle.")
