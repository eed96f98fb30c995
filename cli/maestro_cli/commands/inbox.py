"""`maestro inbox`: show new messages.

Rule: it checks the arguments and looks whether there is mail; `inbox.listing` prints it, `inbox.watching` shows it as
it comes, and `inbox.waiting` only says that it has come.
"""

from __future__ import annotations

from maestro_cli.context import CommandContext
from maestro_schemas.errors import MaestroError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Annotated, Any

    from maestro_cli.inbox.page import Marking
    from maestro_cli.options import COUNTS, AsOption, Option, YesOption
    from maestro_clients.channel.one_shot import OneShotConnection
    from maestro_clients.protocol.speaker import Speaker
    from maestro_schemas.documents import InboxDoc
    from maestro_schemas.vocabularies import MessageType

DETAILS = """\
A message is marked delivered after it was printed. `maestro message read ID`,
or --mark-read, notifies its sender that it was read. At most 20,000 characters
are printed at once (the setting print_chars_max); the next call prints the
rest. --all and --sent print the newest 20, or --limit, and mark nothing. In a
person's shell without a session it shows the operator's inbox: what agents sent
with `--to operator`.

--wait returns when mail is there, prints one line, and marks nothing: for a
background command of an agent, whose end the agent notices. Quiet mail and mail
of low priority does not end it without --any.

Examples:
  maestro inbox
  maestro inbox --quiet
  maestro inbox --unread --mark-read
  maestro inbox --from bob --type request
  maestro inbox --sent
  maestro inbox --watch --json
  maestro inbox --watch --exec 'jq -r .message >> mail.log'
  maestro inbox --watch --limit 1 --timeout 10m
  maestro inbox --wait --timeout 30m
  maestro inbox --session bob"""

_DONE = 200


def run(
    *,
    mark_read: Annotated[
        bool, Option(help="Also acknowledge what is shown, or was shown before; notifies the senders.")
    ] = False,
    clear: Annotated[bool, Option(help="Delete what is shown, or was shown before.")] = False,
    quiet: Annotated[bool, Option(name=["--quiet", "-q"], help="Print nothing when there is no mail.")] = False,
    watch: Annotated[
        bool, Option(name=["--watch", "-w"], help="Print each message as it comes, until interrupted.")
    ] = False,
    wait: Annotated[
        bool, Option(help="Return when mail is there: print one line that says from whom, and mark nothing.")
    ] = False,
    takes_all: Annotated[
        bool, Option(name="--any", help="With --wait: also for quiet mail and mail of low priority.")
    ] = False,
    every: Annotated[
        bool, Option(name=["--all", "-a"], help="List what came, new and old, with its status; mark nothing.")
    ] = False,
    sent: Annotated[
        bool, Option(help="List what this session sent, with its status, such as `3 of 7 read`; mark nothing.")
    ] = False,
    unread: Annotated[bool, Option(help="Also messages that were shown before and not acknowledged.")] = False,
    limit: Annotated[
        int | None,
        Option(
            numbers=COUNTS,
            name=["--limit", "-n"],
            metavar="N",
            help="Show at most N messages; --watch ends after them.",
        ),
    ] = None,
    timeout: Annotated[
        str | None,
        Option(
            metavar="DURATION",
            help="End --watch or --wait after this time, for example 10m; exit code 7 if no message came.",
        ),
    ] = None,
    command: Annotated[
        str | None,
        Option(
            name="--exec",
            metavar="CMD",
            any_text=True,
            help="With --watch: instead of printing, run CMD in a shell for each message, with its JSON on standard "
            "input. It is delivered when CMD exits with 0; otherwise the watch ends, and it stays undelivered.",
        ),
    ] = None,
    exec_quiet: Annotated[
        bool,
        Option(
            help="With --exec: run CMD also for quiet mail, which went to several sessions and asks nothing of them. "
            "Otherwise it waits, undelivered, and CMD is run for it together with the next other message."
        ),
    ] = False,
    sender: Annotated[
        str | None, Option(name="--from", metavar="SESSION", help="Only messages of this sender, by id or name.")
    ] = None,
    kind: Annotated[MessageType | None, Option(name="--type", help="Only messages of this type.")] = None,
    thread: Annotated[
        str | None, Option(metavar="ID", help="Only messages of this thread, by the id of its first message.")
    ] = None,
    session: Annotated[
        str | None,
        Option(metavar="SESSION", help="Another session's mail, for the operator. It is only shown, and not marked."),
    ] = None,
    speaks_as: AsOption = None,
    yes: YesOption = False,
    as_json: Annotated[
        bool,
        Option(
            name="--json",
            help='Print {"messages": [...], "count", "hasMore"}; with --watch one message per line; with --wait '
            '{"count", "from": [...], "ids", ...}.',
        ),
    ] = False,
) -> int:
    """Show the inbox."""
    if thread is not None:
        from maestro_cli.addressing import message_ids

        thread = message_ids.resolved(CommandContext.here(speaks_as, sure=yes), thread)
    filters = {
        name: value for name, value in (("from", sender), ("type", kind), ("thread", thread)) if value is not None
    }
    if filters and (every or sent or watch):
        raise MaestroError(
            "INVALID",
            f"--{next(iter(filters))} selects new mail, and can't stand beside --all, --sent and --watch",
            "Leave it off. `maestro log --with SESSION` shows what was said with one session, and "
            "`maestro message thread ID` a thread.",
        )
    if every or sent:
        given = {
            "--all": every,
            "--sent": sent,
            "--mark-read": mark_read,
            "--clear": clear,
            "--watch": watch,
            "--wait": wait,
            "--any": takes_all,
            "--unread": unread,
            "--timeout": timeout is not None,
            "--exec": command is not None,
        }
        _check_alone(given)
        from maestro_cli.inbox import overview

        count_max = limit
        context = CommandContext.here(speaks_as, sure=yes)
        if session is None:
            context = context.at_mailbox(sure=yes)
        box = "out" if sent else "in"
        return overview.show(context, box, session=session, count_max=count_max, quiet=quiet, as_json=as_json)
    if mark_read and clear:
        raise MaestroError("INVALID", "--mark-read and --clear exclude each other", "Leave one of them off.")
    if wait:
        beside = {
            "--mark-read": mark_read,
            "--clear": clear,
            "--watch": watch,
            "--unread": unread,
            "--limit": limit is not None,
            "--exec": command is not None,
            "--session": session is not None,
        }
        _check_waits_alone(beside)
        from maestro_cli.inbox import waiting

        context = CommandContext.here(speaks_as, sure=yes).at_mailbox(sure=yes)
        timeout_s = _seconds(timeout)
        return waiting.wait(context, timeout_s=timeout_s, takes_all=takes_all, quiet=quiet, as_json=as_json)
    if takes_all:
        raise MaestroError("INVALID", "--any is for --wait", "Add --wait, or leave --any off.")
    if timeout is not None and not watch:
        raise MaestroError(
            "INVALID", "--timeout is for --watch and --wait", "Add one of them, or leave --timeout off."
        )
    if unread and watch:
        raise MaestroError(
            "INVALID", "--unread lists old mail and --watch waits for new mail", "Run `maestro inbox --unread` first."
        )
    if command is not None and (not watch or as_json):
        raise MaestroError("INVALID", "--exec is for --watch, without --json", "CMD gets the JSON; add --watch.")
    if exec_quiet and command is None:
        raise MaestroError(
            "INVALID", "--exec-quiet is for --exec", "Without --exec, quiet mail is shown as it comes."
        )
    count_max = limit
    marking: Marking = "read" if mark_read else "deleted" if clear else "delivered"
    context = CommandContext.here(speaks_as, sure=yes)
    if session is not None:
        from maestro_cli.inbox import others

        others.check(marks=mark_read or clear or watch)
        return others.show(
            context, session, named(filters), count_max=count_max, unread=unread, quiet=quiet, as_json=as_json
        )
    context = context.at_mailbox(sure=yes)
    if watch:
        from maestro_cli.inbox.watching import Watch

        watching = Watch(
            context,
            marking,
            count_max=count_max,
            timeout_s=_seconds(timeout),
            as_json=as_json,
            quiet=quiet,
            command=command,
            command_takes_quiet=exec_quiet,
        )
        return watching.run()
    # What was shown before, and not acknowledged, is meant too: a person has just seen it, and now says what to do.
    statuses = ["pending", "delivered"] if unread or marking != "delivered" else ["pending"]
    connection = context.one_shot_connection()
    page = None if connection is None else first_page(connection, context.speaker(), _first(statuses, filters))
    if connection is not None and (page is None or not has_mail(page)):
        connection.close()
        connection = None
    if page is None or has_mail(page):
        with context.client(connection) as client:
            if page is None:
                page = client.inbox(**named(_first(statuses, filters)))
            if has_mail(page):
                from maestro_cli.inbox import listing

                return listing.show(
                    client,
                    context,
                    marking,
                    statuses,
                    named(filters),
                    unread=unread,
                    chars_max=page["printCharsMax"],
                    count_max=count_max,
                    quiet=quiet,
                    as_json=as_json,
                )
    if not quiet:
        from maestro_cli.output import streams

        nothing = "No unread messages." if "delivered" in statuses else "No new messages."
        streams.say('{"messages": [], "count": 0, "hasMore": false}' if as_json else nothing)
    return 0


def _check_alone(given: dict[str, bool]) -> None:
    named = [option for option, is_given in given.items() if is_given]
    if len(named) > 1:
        raise MaestroError(
            "INVALID",
            f"{named[0]} lists messages and marks none, and can't stand beside {', '.join(named[1:])}",
            "Run them one after the other.",
        )


def _check_waits_alone(given: dict[str, bool]) -> None:
    named = [option for option, is_given in given.items() if is_given]
    if named:
        raise MaestroError(
            "INVALID",
            f"--wait only says that mail is there, and can't stand beside {', '.join(named)}",
            "Run `maestro inbox` after it, or use --watch, which shows the mail.",
        )


def _seconds(timeout: str | None) -> float | None:
    if timeout is None:
        return None
    from maestro_cli.arguments import wait_s

    return wait_s("--timeout", timeout)


def _first(statuses: list[str], filters: dict[str, str]) -> dict[str, Any]:
    """The first request: one message, and the broker's `printCharsMax`.

    It takes no lease, so it changes nothing and also finds mail that another reader holds. The mailbox's marker
    `.pending` would not do: mail that a hook has offered is still pending, and without a broker, or for an ended
    session, the answer is an error.
    """
    return {"status": statuses, "limit": 1, "people": True, **filters}


def named(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a request as arguments of the client's method, where `from` is a keyword of Python."""
    return {"sender" if name == "from" else name: value for name, value in fields.items()}


def first_page(connection: OneShotConnection, speaker: Speaker, asked: dict[str, Any]) -> InboxDoc | None:
    """The reply to the first request, without a client's class and its methods; None where it is not a page."""
    answer = connection.ask(b"inbox", {"as": speaker, **asked})
    if answer is None or answer[0] != _DONE or not isinstance(answer[1].get("messages"), list):
        return None
    page: Any = answer[1]
    return page if "hasMore" in page else None


def has_mail(page: InboxDoc) -> bool:
    """Whether there is anything to show, or another reader is showing it."""
    return bool(page["messages"]) or page["hasMore"]
