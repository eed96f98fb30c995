"""Inbox wait: returns when mail has come that would wake an agent, and says so in one line.

Rule: it takes no lease, confirms nothing, and is no subscriber, so hooks, watchers and wakes go on as without it.
Quiet mail and mail of low priority wakes no agent, so it ends no wait either, unless that is asked for. What the
mailbox holds is the truth, and a notice only shows when to look.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

from maestro_cli import exit_codes, following
from maestro_cli.output import streams
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from maestro_cli.context import CommandContext
    from maestro_clients.client import Client
    from maestro_schemas.documents import EventDoc, InboxDoc, MessageDoc

_PAGE = 256
# How many senders the line names.
_NAMED_MAX = 3


def wait(context: CommandContext, *, timeout_s: float | None, takes_all: bool, quiet: bool, as_json: bool) -> int:
    """Wait, and print the line; returns the exit code. `takes_all`: quiet mail and mail of low priority counts too.

    Raises MaestroError SESSION_ENDED where no more mail can come, StdoutClosed, KeyboardInterrupt, and what the
    broker refuses.
    """
    with context.full_client() as client:  # starts a missing broker
        mailbox = client.session(context.session())["id"]
    lookout = _Lookout(takes_all=takes_all)
    if not quiet and not as_json:
        streams.note(f"maestro: waiting for mail to {mailbox}; it stays in the inbox")
    limit_s = math.inf if timeout_s is None else timeout_s
    if not following.follow(context, mailbox, lookout.look, concerns=_concerns, timeout_s=limit_s):
        late = MaestroError("TIMEOUT", f"no message came within {limit_s:g} s", "Wait again, or longer.")
        streams.complain(late, as_json=as_json)
        return exit_codes.TIMED_OUT
    found = lookout.found
    streams.say(streams.json_line(found) if as_json else _sentence(found, context))
    return exit_codes.DONE


def _concerns(event: EventDoc) -> bool:
    """The other events are about what this mailbox's session has sent, or what its agent does."""
    return event["event"] in ("message.accepted", "session.ended")


class _Lookout:
    """What is known of the mailbox."""

    def __init__(self, *, takes_all: bool) -> None:
        self._takes_all = takes_all
        # Up to here, no mail ends the wait.
        self._cursor = 0
        self.found: dict[str, Any] = {}

    def look(self, client: Client) -> bool:
        """Whether to go on waiting. Raises MaestroError SESSION_ENDED."""
        while True:
            page = client.inbox(status=["pending"], offered=False, since=self._cursor, limit=_PAGE, people=True)
            messages = [message for message in page["messages"] if self._takes_all or _wakes(message)]
            if messages:
                self.found = _document(messages, page)
                return False
            # A number never decreases: a lower one is of another data directory.
            self._cursor = 0 if page["headSeq"] < self._cursor else page["upTo"]
            if not page["hasMore"]:
                break
        if page.get("ended"):
            raise MaestroError(
                "SESSION_ENDED",
                "this session has ended, and no more mail comes for it",
                "Starting it again under the same id reopens its mailbox: `maestro session start --id`.",
            )
        return True


def _document(messages: list[MessageDoc], page: InboxDoc) -> dict[str, Any]:
    people = page.get("people", {})
    counts = Counter(message["from"] for message in messages)
    senders = [
        {
            "session": session,
            **({"name": people[session]["name"]} if "name" in people.get(session, {}) else {}),
            "count": n,
        }
        for session, n in counts.items()
    ]
    return {
        "count": len(messages),
        "high": sum(message.get("metadata", {}).get("priority") == "high" for message in messages),
        "from": senders,
        "ids": [message["id"] for message in messages],
        "hasMore": page["hasMore"],
    }


def _wakes(message: MessageDoc) -> bool:
    """Whether this mail would wake an idle agent: as the broker decides."""
    import msgspec

    from maestro_schemas.messages import Message

    return msgspec.convert(message, Message).wakes


def _sentence(found: dict[str, Any], context: CommandContext) -> str:
    """`2 new messages from ann and ben, 1 of them urgent: maestro inbox`."""
    from maestro_cli.hooks.session_link import LINK_VARIABLE
    from maestro_clients.texts.fence import named
    from maestro_schemas.names import SYSTEM_SENDER

    count = found["count"]
    senders = [
        "the post office" if each["session"] == SYSTEM_SENDER else named(each.get("name") or each["session"])
        for each in found["from"]
    ]
    names = ", ".join(senders[:_NAMED_MAX])
    if len(senders) > _NAMED_MAX:
        names += f" and {len(senders) - _NAMED_MAX} more"
    number = f"{count} or more" if found["hasMore"] else str(count)
    high = f", {found['high']} of high priority" if found["high"] else ""
    link = context.environ.get(LINK_VARIABLE)
    command = f"{LINK_VARIABLE}={link} maestro inbox" if link else "maestro inbox"
    return f"{number} new message{'' if count == 1 else 's'} from {names}{high}. To read: {command}"
