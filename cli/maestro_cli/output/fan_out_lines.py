"""Fan-out lines: the outcome of a message to several sessions, in words.

Rule: each receiver is named with what it is: when it sees the message, or why it refused. Where there are many, those
that are alike are counted, and the first of them named.
"""

from __future__ import annotations

import shutil
import textwrap

from maestro_clients.texts import presence_words
from maestro_clients.texts.fence import addresses, named
from maestro_schemas.names import AUDIENCE_SIGIL, short_id

TYPE_CHECKING = False  # `typing` costs more than this module
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

_WIDTH = 100
_WIDTH_MIN = 40
# How many receivers of one group are shown one by one.
_RECEIVERS_MAX = 8
# How many of those that are alike are named.
_NAMED_MAX = 4
_GROUPS = ("now", "later", "no")
_INDENT = "  "
_HINT_COLUMN = 9
_REFUSALS = {
    "MAILBOX_FULL": "its mailbox is full",
    "RECEIVER_ENDED": "it has ended",
    "LOOP_GUARD": "stopped by the loop guard",
}


def sent(outcome: Mapping[str, Any], now_ms: int) -> str:
    """The report of a send to several."""
    accepted, refused = outcome["accepted"], outcome["refused"]
    to = f", {addresses(outcome['audience']['to'])}" if "audience" in outcome else ""
    whom = f"{accepted} of {accepted + refused}" if refused else _sessions(accepted)
    where = f"to {whom}{to} ({short_id(outcome['id'])})"
    retried = outcome.get("retryOf")
    if outcome.get("duplicate"):
        first = "Sent before" if retried is None else f"{short_id(retried)} was retried before"
        return f"{first}, {where}; now {_states(outcome.get('recipients', ()))}."
    again = "" if retried is None else "again "
    removed = outcome.get("charsRemoved", 0)
    less = f" Without {removed:,} hidden character{'' if removed == 1 else 's'}, taken out of it." if removed else ""
    lines = [f"Sent {again}{where}. On disk.{less}", *groups(outcome.get("recipients", ()), now_ms)]
    if refused:
        lines.append(f"{' ' * _HINT_COLUMN}→ maestro message retry {short_id(outcome['id'])}")
    return "\n".join(lines)


def groups(recipients: Iterable[Mapping[str, Any]], now_ms: int) -> list[str]:
    """The receivers in the groups `now`, `later` and `no`, each on as many lines as it takes."""
    by_group: dict[str, list[Mapping[str, Any]]] = {}
    for recipient in recipients:
        by_group.setdefault(presence_words.group_of(recipient), []).append(recipient)
    lines = []
    for group in _GROUPS:
        found = by_group.get(group, [])
        if found:
            lines += _wrapped(f"{_INDENT}{group:<7}", _items(found, now_ms))
    return lines


def quiet_note(outcome: Mapping[str, Any], metadata: Mapping[str, Any] | None) -> str:
    """The line for a message to several that asks nothing of them; empty for one that does. As `Message.is_quiet`."""
    audience, meta = outcome.get("audience"), metadata or {}
    if audience is None or outcome.get("duplicate"):
        return ""
    if audience["size"] < 2 and not audience["to"][0].startswith(AUDIENCE_SIGIL):
        return ""
    asks = meta.get("type") in ("request", "command", "response") or meta.get("priority") == "high"
    if asks or meta.get("requiresAck") or meta.get("requiresResponse"):
        return ""
    # Mail of Maestro's own client has types of its own, and no --require-ack.
    data = meta.get("data")
    is_mail = isinstance(data, dict) and "mail" in data
    would = "--type directive" if is_mail else "--type request, --require-ack"
    return f"{_INDENT}It asks nothing, so it wakes no agent. {would} or --priority high would."


def preview(receivers: Iterable[Mapping[str, Any]], now_ms: int) -> list[str]:
    """The sessions that an audience comes to, each with what is known of it."""
    items = []
    for receiver in receivers:
        presence = receiver.get("presence")
        is_known = presence is not None and (presence["state"] != "unknown" or presence.get("detail"))
        words = f" ({presence_words.brief(presence, now_ms)})" if is_known else ""
        items.append(f"{label(receiver['session'], receiver.get('name'))}{words}")
    return _wrapped(_INDENT, items)


def label(session: str, name: str | None) -> str:
    """A receiver in a list: its name, or its id."""
    return named(name or session)


def names(found: Sequence[str]) -> str:
    """A few names, and the number of the others."""
    shown = ", ".join(found[:_NAMED_MAX])
    return shown if len(found) <= _NAMED_MAX else f"{shown} and {len(found) - _NAMED_MAX} more"


def _sessions(count: int) -> str:
    return "1 session" if count == 1 else f"{count} sessions"


def _items(recipients: list[Mapping[str, Any]], now_ms: int) -> list[str]:
    """One item for those that are alike; of many, it has their number and the first names."""
    one_by_one = len(recipients) <= _RECEIVERS_MAX
    alike: dict[str, list[str]] = {}
    for recipient in recipients:
        words = _words(recipient, now_ms, dated=one_by_one)
        alike.setdefault(words, []).append(label(recipient["to"], recipient.get("name")))
    items = []
    for words, found in alike.items():
        counted = "" if one_by_one or len(found) == 1 else f"{len(found)}: "
        items.append(f"{counted}{', '.join(found) if one_by_one else names(found)}{words}")
    return items


def _words(recipient: Mapping[str, Any], now_ms: int, *, dated: bool) -> str:
    error = recipient.get("error")
    if error is not None:
        why = _REFUSALS.get(error["code"], error["code"])
        limit = f" ({error['limit']:,})" if error["code"] == "MAILBOX_FULL" and "limit" in error else ""
        return f": {why}{limit}"
    words = presence_words.short(recipient, now_ms, dated=dated)
    return f" ({words})" if words else ""


def _states(recipients: Iterable[Mapping[str, Any]]) -> str:
    counts: dict[str, int] = {}
    for recipient in recipients:
        state = "refused" if "error" in recipient else recipient.get("state", "on disk")
        counts[state] = counts.get(state, 0) + 1
    return ", ".join(f"{count} {state}" for state, count in counts.items()) or "on disk"


def _wrapped(begin: str, items: Sequence[str]) -> list[str]:
    """The items on as many lines as they take, broken at words."""
    return textwrap.wrap(
        "  ".join(items),
        _width(),
        initial_indent=begin,
        subsequent_indent=" " * len(begin),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _width() -> int:
    """The width of the terminal, or of COLUMNS; else a usual one."""
    return max(shutil.get_terminal_size((_WIDTH, 0)).columns, _WIDTH_MIN)
