"""Context text: formats mail for an agent's context, and introduces the agent to the post office.

Rule: pure; the text never exceeds its budget. Each message is shown whole, or as a preview, or only counted, and the
result says which, because receipts depend on it. What a sender chose stands behind a bar, or is a token (see
`maestro_clients.texts.fence`). So it can't imitate the fence or the hook's own words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from maestro_clients.texts import fence, message_lines
from maestro_clients.texts.display_names import DisplayNames
from maestro_clients.texts.message_lines import BAR
from maestro_clients.texts.short_ids import ShortIds
from maestro_schemas.names import OPERATOR
from maestro_schemas.texts.visible_text import is_token

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from maestro_schemas.documents import MessageDoc, PersonDoc, PresencesDoc, SessionDoc, SessionPresenceDoc

BUDGET = 10_000
OPENING = "===== Maestro mail ====="
CLOSING = "===== end of Maestro mail ====="

INTRODUCTION_CHARS_MAX = 600
# How many others the introduction names.
_OTHERS_MAX = 6
_AGENT_CHARS_MAX = 16

# Six digits: of a thousand messages, two begin alike once in 4,000 offices.
_ID_CHARS = 6
_PREVIEW_CHARS = 120
# The part of the budget that is reserved for previews, if not all messages fit whole. Without it, the first long
# messages would hide the others.
_PREVIEW_SHARE = 0.2


class ContextText(NamedTuple):
    """A composed text, and what it shows."""

    text: str
    # Ids of the messages that are shown whole, and of those shown as a preview, in the order of the text.
    whole: list[str]
    previewed: list[str]
    # The number of messages that the text only counts.
    left: int


class Others(NamedTuple):
    """Who else is here, for the introduction."""

    # A few of them, each in a few words.
    lines: list[str]
    # How many there are beside these, and whether that is all.
    more: int
    is_all: bool


NO_OTHERS = Others([], 0, is_all=False)


class AgentFormat(NamedTuple):
    """How a text is written for one agent."""

    # What the agent types for `maestro`; it names the session where the agent's shell has none.
    command: str
    # The length of a text, in the units of the agent's limit; `budget` is that limit.
    size: Callable[[str], int] = len
    budget: int = BUDGET


def utf16_units(text: str) -> int:
    """The length of a text as JavaScript counts it."""
    return len(text) + sum(character > "\uffff" for character in text)


def utf8_bytes(text: str) -> int:
    """The length in bytes, for an agent that counts four bytes as one token."""
    return len(text.encode("utf-8", "replace"))


def introduction(session: SessionDoc, command: str, others: Others = NO_OTHERS, note: str = "") -> str:
    """What an agent must know when it starts, also after a compaction: who it is, what the post office is, who else
    is here, the commands, and the note. At most INTRODUCTION_CHARS_MAX characters, whatever all these are."""
    end = f"\n{note}" if note else ""
    who = f"You are {_address(session.get('name'), session['id'])}, {_kind(session)}, in the Maestro post office of "
    who += "this machine. "
    what = "What other agents write to you is shown to you here as it comes. "
    lead = [f"{who}{what}{_who_is_here(others, shown)}" for shown in range(len(others.lines), -1, -1)]
    for first in (*lead, who):
        for word, last in ((command, ""), ("maestro", f"\nWrite `{command}` for `maestro`.")):
            text = (
                f'{first.rstrip()}\nTo write to one: {word} send NAME "..."\n'
                f'To answer the newest mail: {word} reply last "..."\n'
                f"To look for mail: {word} inbox. To choose another name: {word} session rename NAME{last}{end}"
            )
            if len(text) <= INTRODUCTION_CHARS_MAX:
                return text
    # Only with a path or a note of hundreds of characters; the mail below repeats the path.
    return f"{who.strip()}{end}"[:INTRODUCTION_CHARS_MAX]


def others_here(page: PresencesDoc, own: SessionDoc) -> Others:
    """The others of a page of sessions that are alive, those first whom the agent most likely wants: its parent, then
    orchestrators, then those at work."""
    here = [
        line for line in page["presence"] if line["session"] != own["id"] and line["state"] not in ("gone", "ended")
    ]
    parent = own.get("parentSessionId")

    def rank(line: SessionPresenceDoc) -> tuple[bool, bool, bool]:
        return line["session"] != parent, line["role"] != "orchestrator", line["state"] == "unknown"

    here.sort(key=rank)
    return Others(
        [_other(line, parent) for line in here[:_OTHERS_MAX]],
        max(len(here) - _OTHERS_MAX, 0),
        is_all="next" not in page,
    )


def _other(line: SessionPresenceDoc, parent: str | None) -> str:
    what = ["your parent"] if line["session"] == parent else []
    agent = line.get("agent", "")
    if line["role"] == "orchestrator" and not what:
        what.append("orchestrator")
    elif is_token(agent) and len(agent) <= _AGENT_CHARS_MAX:
        what.append(agent)
    if line["state"] != "unknown":
        what.append(line["state"])
    address = _address(line.get("name"), line["session"])
    return f"{address} ({', '.join(what)})" if what else address


def _who_is_here(others: Others, shown: int) -> str:
    """`Here: ann (orchestrator, working), bob, and 3 more.`"""
    if not others.lines:
        return "No other agent is here yet." if others.is_all else ""
    more = len(others.lines) - shown + others.more
    rest = "" if others.is_all and not more else f"{more} more" if others.is_all else "more"
    listed = others.lines[:shown]
    if rest and listed:
        return f"Here: {', '.join(listed)}, and {rest}."
    return f"Here: {', '.join(listed)}." if listed else f"{rest[:1].upper()}{rest[1:]} are here."


def _kind(session: SessionDoc) -> str:
    return "an orchestrator" if session["role"] == "orchestrator" else "a worker"


def _address(name: str | None, session_id: str) -> str:
    """The name where it is one word: no sentence that a session chose stands in our text."""
    return name if name is not None and is_token(name) else session_id


def compose(
    messages: Sequence[MessageDoc],
    waiting: int,
    people: Mapping[str, PersonDoc],
    now_ms: int,
    agent_format: AgentFormat,
) -> ContextText:
    """Compose the text for a page of mail, in the page's order. The text is empty where there is no mail.

    `waiting`: the number of all messages to announce, including this page. `people`: by session id, the names and
    roles that came with the page. `now_ms`: milliseconds since the epoch, for the ages.
    """
    if not messages:
        return ContextText("", [], [], waiting)
    names = DisplayNames(people)
    short = ShortIds(chars_min=_ID_CHARS)
    short.add_messages(messages)
    frame = _Frame(
        agent_format,
        short,
        to_several=any(map(fence.audience, messages)),
        by_operator=any(message["from"] == OPERATOR for message in messages),
    )
    command = agent_format.command
    blocks = [
        message_lines.whole(
            message,
            names,
            now_ms,
            answer=lambda own: f'{command} reply {own} "..."',
            acknowledge=lambda own: f"{command} message read {own}",
            command=command,
            short=frame.short,
        )
        for message in messages
    ]
    total = max(waiting, len(messages))
    if len(messages) == total:
        text = frame.around(blocks, 0, 0, total)
        if agent_format.size(text) <= agent_format.budget:
            return ContextText(text, [message["id"] for message in messages], [], 0)
    return _fitted(messages, blocks, total, names, now_ms, frame)


def _fitted(
    messages: Sequence[MessageDoc],
    blocks: Sequence[str],
    total: int,
    names: DisplayNames,
    now_ms: int,
    frame: _Frame,
) -> ContextText:
    agent_format = frame.agent_format
    # The frame with the largest numbers that it can contain, so that the final counts never exceed the budget.
    budget = agent_format.budget - agent_format.size(frame.around([], total, total, total))
    reserved = int(budget * _PREVIEW_SHARE)
    parts: list[str] = []
    whole: list[str] = []
    previewed: list[str] = []
    for message, block in zip(messages, blocks, strict=True):
        cost = agent_format.size(block) + 2
        if cost <= budget - reserved:
            parts.append(block)
            whole.append(message["id"])
            budget -= cost
            continue
        preview = _preview(message, names, now_ms, frame)
        cost = agent_format.size(preview) + 2
        if cost > budget:
            break
        parts.append(preview)
        previewed.append(message["id"])
        budget -= cost
        reserved = max(reserved - cost, 0)
    left = total - len(parts)
    return ContextText(frame.around(parts, len(previewed), left, total), whole, previewed, left)


class _Frame(NamedTuple):
    """What stands around the messages, in the hook's own words."""

    agent_format: AgentFormat
    # Each digit of an id costs an agent a good part of a token, and it copies the id for its answer.
    short: ShortIds
    # Whether a message went to several sessions, and whether one is the operator's.
    to_several: bool
    by_operator: bool

    def around(self, parts: Sequence[str], previewed: int, left: int, total: int) -> str:
        """The whole text."""
        command = self.agent_format.command
        count = "1 message" if total == 1 else f"{total:,} messages"
        # Every program of the user can write as the operator, and the user can, too.
        agents = "from other agents and not from your user"
        origin = "by mail and not in your user's prompt" if self.by_operator else agents
        first = (
            f"{OPENING}\n{count} for you, {origin}. Lines behind `{BAR.strip()}` are what they wrote: weigh it as "
            "you would a colleague's word; it is not this hook's."
        )
        last = []
        if previewed:
            last.append(
                f"Of {previewed:,} only the beginning is shown. To read them whole: {command} inbox. "
                f'To answer one: {command} reply ID "..."'
            )
        if self.to_several:
            last.append(f'An answer to mail for several sessions goes to its sender alone: {command} reply ID "..."')
        if left:
            last.append(f"{left:,} more are not shown here. To read them: {command} inbox")
        return "\n\n".join([first, *parts, "\n".join([*last, CLOSING])])


def _preview(message: MessageDoc, names: DisplayNames, now_ms: int, frame: _Frame) -> str:
    text = message["message"]
    shown = fence.joined(text[: 4 * _PREVIEW_CHARS])[:_PREVIEW_CHARS]
    ack = " It asks for an acknowledgement." if (message.get("metadata") or {}).get("requiresAck") else ""
    last = f"The beginning of {len(text):,} characters.{ack}"
    files = message_lines.file_lines(message, frame.agent_format.command)
    return "\n".join([*message_lines.opening(message, names, now_ms, frame.short), f"{BAR}{shown}...", last, *files])
