"""Gone sessions: ends those whose process has ended and that did not say so, as after a killed terminal.

Rule: the broker says which are gone, and is asked again after a question to the person, since an agent may have come
back. Mail that waits in an ended session's mailbox is named. It stays there, and a restart of the session finds it.
"""

from __future__ import annotations

import sys

from maestro_cli.output import streams
from maestro_cli.setup.confirmation import ask
from maestro_clients.texts.ages import aged
from maestro_clients.texts.fence import named
from maestro_schemas.errors import OPERATOR_MAY, MaestroError

from .who_table import label

TYPE_CHECKING = False  # `typing` costs more than this module
if TYPE_CHECKING:
    from collections.abc import Sequence

    from maestro_cli.context import CommandContext
    from maestro_clients.one_shot_client import AnyClient
    from maestro_schemas.documents import SessionPresenceDoc
    from maestro_schemas.vocabularies import EndStatus

# As many are ended without a question.
_UNASKED_MAX = 3
_NOT_THERE = frozenset({"SESSION_NOT_FOUND", "SESSION_ENDED"})


def found(context: CommandContext, client: AnyClient) -> list[SessionPresenceDoc]:
    """The sessions that are gone: of the caller's project, or all for the operator. Raises MaestroError FORBIDDEN for
    a worker."""
    project = None
    if context.own_session:
        own = client.session()
        if own["role"] != "orchestrator":
            raise MaestroError(
                "FORBIDDEN",
                f"{own['id']} is a worker, and only an orchestrator or the operator ends the sessions of others",
                f"`maestro session end` ends your own. {OPERATOR_MAY}",
            )
        project = own["projectId"]
    return [line for line in client.presence(project_id=project) if line["state"] == "gone"]


def end(client: AnyClient, lines: Sequence[SessionPresenceDoc], status: EndStatus) -> list[SessionPresenceDoc]:
    """End them; those that it has ended."""
    ended = []
    for line in lines:
        try:
            client.end_session(line["session"], status=status)
        except MaestroError as error:
            if error.code not in _NOT_THERE:
                raise
        else:
            ended.append(line)
    return ended


def is_confirmed(lines: Sequence[SessionPresenceDoc], now_ms: int) -> bool:
    """Whether the person wants them to be ended. A few are ended without a question, and so are all where no terminal
    is there to ask."""
    if len(lines) <= _UNASKED_MAX or not all(
        stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr)
    ):
        return True
    for sentence in sentences(lines, "Gone:", now_ms):
        streams.note(sentence)
    return ask(f"End these {len(lines):,} sessions?", "session end --gone", default=False)


def sentences(lines: Sequence[SessionPresenceDoc], verb: str, now_ms: int) -> list[str]:
    """A line for each, and where the mail is that waits in them."""
    said = [f"{verb} {label(line)}{_what(line, now_ms)}{_mail(line)}." for line in lines]
    waiting = [line for line in lines if line.get("unread")]
    if waiting:
        said.append(
            "Mail that waits stays in its mailbox until the retention, for when its session is started again. To "
            f"read it here: maestro log --session {waiting[0]['session']}"
        )
    return said


def _what(line: SessionPresenceDoc, now_ms: int) -> str:
    what = [named(line["agent"])] if "agent" in line else []
    what += [f"last sign {aged(line['since'], now_ms)} ago"] if "since" in line else []
    return f" ({', '.join(what)})" if what else ""


def _mail(line: SessionPresenceDoc) -> str:
    unread = line.get("unread", 0)
    return f"; {unread:,} new {'message waits' if unread == 1 else 'messages wait'} in it" if unread else ""


def _on_terminal() -> bool:
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))
