"""`maestro session end`: end a session, which then no longer sends or receives, or all whose process is gone.

Rule: the mail in its mailbox stays until the retention.
"""

from __future__ import annotations

from maestro_cli.context import CommandContext, now_ms
from maestro_cli.output import streams
from maestro_schemas.errors import MaestroError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from maestro_cli.options import Option
    from maestro_schemas.vocabularies import EndStatus

USAGE = "maestro session end [NAME] [OPTIONS]"
DETAILS = """\
A session may be ended by itself, by its parent, and by the operator (a shell
without a session). --gone ends each session whose process has ended without a
word, as after a killed terminal: the operator all, an orchestrator those of its
project. The mail that waits in them is named, and stays in their mailboxes.

Examples:
  maestro session end
  maestro session end bob --status failed
  maestro session end --gone --dry-run
  maestro session end --gone"""


def run(
    session_id: Annotated[
        str | None, Option(name="SESSION", help="Its name or id. Default: this shell's own.")
    ] = None,
    /,
    *,
    gone: Annotated[bool, Option(help="End all sessions whose process is gone.")] = False,
    dry_run: Annotated[bool, Option(name="--dry-run", help="With --gone: say which, and end none.")] = False,
    status: Annotated[
        EndStatus | None, Option(help="How it ended. Default: completed; with --gone: stopped.")
    ] = None,
    yes: Annotated[bool, Option(name="--yes", help="With --gone: don't ask, also in an agent's shell.")] = False,
    as_json: Annotated[bool, Option(name="--json", help="Print the session as JSON; with --gone an array.")] = False,
) -> int:
    """End a session, or all that are gone."""
    context = CommandContext.here()
    if gone:
        if session_id is not None:
            raise MaestroError("INVALID", "--gone and NAME exclude each other", "Leave one of them off.")
        return _end_gone(context, status or "stopped", sure=yes, is_trial=dry_run, as_json=as_json)
    if dry_run or yes:
        raise MaestroError("INVALID", "--dry-run and --yes belong to --gone", "Leave them off, or add --gone.")
    chosen = session_id or context.session()
    with context.client() as client:
        session = client.end_session(chosen, status=status or "completed")
    sentence = f"Ended {session['id']}: {session['status']}."
    if "name" in session:
        from maestro_clients.texts.fence import named

        sentence = f"Ended {named(session['name'])} ({session['id']}): {session['status']}."
    streams.say(streams.json_line(session) if as_json else sentence, done=sentence)
    is_named_here = context.environ.get("MAESTRO_SESSION_ID") == session["id"]
    if is_named_here and not as_json and context.agent_sign() is None:
        # Each later command of this shell would be refused. An agent's next command is another shell.
        streams.note("This shell still names it. To leave it: unset MAESTRO_SESSION_ID MAESTRO_SESSION_TOKEN")
    return 0


def _end_gone(context: CommandContext, status: EndStatus, *, sure: bool, is_trial: bool, as_json: bool) -> int:
    from maestro_cli.presence import gone_sessions

    context.check_person("the list of sessions", "session end --gone", sure=sure)
    with context.client() as client:
        lines = gone_sessions.found(context, client)
        if lines and not is_trial:
            if not (sure or as_json or gone_sessions.is_confirmed(lines, now_ms())):
                streams.tell("None was ended.")
                return 0
            # Again, since an agent may have come back in the meantime.
            lines = gone_sessions.end(client, gone_sessions.found(context, client), status)
    if as_json:
        streams.say_json(lines)
    elif not lines:
        streams.tell("No session is gone: the process of each runs, or is not known.")
    else:
        sentences = gone_sessions.sentences(lines, "Would end" if is_trial else "Ended", now_ms())
        streams.tell("\n".join(sentences))
    return 0
