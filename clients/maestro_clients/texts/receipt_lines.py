"""Receipt lines: what became of a message at each of its receivers, in words.

Rule: one line for each receiver, with its last step, since when and by what. A step that is missing has its reason.
"""

from __future__ import annotations

from maestro_schemas.texts.visible_text import one_line

from . import presence_words
from .ages import age
from .fence import addresses, named

TYPE_CHECKING = False  # `typing` costs more than this module
if TYPE_CHECKING:
    from maestro_schemas.documents import ReceiptDoc, RecipientReceiptDoc

_COUNTS = ("accepted", "delivered", "read", "answered", "expired", "deleted", "refused")
# These are left out where they are 0.
_RARE = frozenset({"expired", "deleted", "refused"})
_WAITING = frozenset({"pending", "offered"})


def head(receipt: ReceiptDoc) -> str:
    """`msg_1 to @workers: 6 accepted, 5 delivered, 3 read, 2 answered, 1 refused`."""
    counts = receipt["counts"]
    said = [
        f"{counts[name]} {name}"  # type: ignore[literal-required]
        for name in _COUNTS
        if counts[name] or name not in _RARE  # type: ignore[literal-required]
    ]
    to = f" to {addresses(receipt['audience']['to'])}" if "audience" in receipt else ""
    return f"{receipt['id']}{to}: {', '.join(said)}"


def each(receipt: ReceiptDoc, now_ms: int | None = None) -> list[str]:
    """The lines of the receivers, in one column."""
    import time

    now_ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    people = receipt.get("people", {})
    rows = []
    for line in receipt["recipients"]:
        person = people.get(line["to"])
        name = None if person is None else person.get("name")
        rows.append((named(name or line["to"] or "forgotten"), _words(line, now_ms)))
    width = max(len(name) for name, _ in rows)
    return [f"  {name:<{width}}  {one_line(words)}" for name, words in rows]


def _words(line: RecipientReceiptDoc, now_ms: int) -> str:
    state = line["state"]
    words = [f"{state:<9}"]
    if state in ("refused", "failed"):
        words.append(line.get("code", "?"))
    elif "at" in line:
        words.append(age(line["at"], now_ms))
    if "answerId" in line:
        words.append(f"as {line['answerId']}")
    if state in ("offered", "delivered", "read") and "via" in line:
        words.append(f"by {named(line['via'])}")
        if "wokenBy" in line:
            words.append(f"(woken by {named(line['wokenBy'])})")
    if "originalTo" in line:
        words.append(f"for {named(line['originalTo'])}, who had ended")
    if state in _WAITING or (state == "delivered" and _is_away(line)):
        known = presence_words.brief(line.get("presence"), now_ms)
        if known != presence_words.NO_SIGN:
            words.append(f"({known})")
    return " ".join(words).rstrip()


def _is_away(line: RecipientReceiptDoc) -> bool:
    return line.get("presence", {}).get("state") in ("gone", "ended", "waiting")
