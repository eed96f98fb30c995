"""Conditions: a query and a scope as SQL.

Rule: what a caller may see is one condition of every statement here, as `maestro_schemas.events.may_see` says it; a
test compares both. Values are parameters and never part of the SQL. A condition about a delivery must be true of one
that the caller may see; all of them of the same one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from maestro_schemas.names import AUDIENCE_SIGIL

if TYPE_CHECKING:
    from maestro_schemas.texts.search_query import Term

    from .orders import IndexOrder, Part, Scope

_json = msgspec.json.Encoder()
_LIST: Final = "(SELECT value FROM json_each(:{name}))"
# Scripts whose words have no blanks between them: Thai to Burmese, Khmer, and the East Asian ones.
_NO_BLANKS = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff66-\uffdc"
    "\U00020000-\U0003ffff]"
)


class Conditions(NamedTuple):
    """The parts of a statement over `m`, `d` and `t`."""

    # About the message.
    of_message: tuple[str, ...]
    # About a delivery that the caller may see.
    of_delivery: tuple[str, ...]
    # Without the query: which deliveries the caller may see.
    visible: str
    # Statements for the rows of which a hit must be one.
    narrowing: tuple[str, ...]
    # What FTS5 must match; empty without words.
    match: str
    # Texts to mark in a snippet that FTS5 does not know.
    marked: tuple[str, ...]
    values: dict[str, Any]

    @property
    def where(self) -> str:
        """The condition of a row of `m`."""
        seen = exists(" AND ".join((self.visible, *self.of_delivery)))
        return " AND ".join(("m.gone = 0", *self.of_message, seen))

    @property
    def source(self) -> str:
        """Where the rows of `m` come from, with the condition of their words."""
        return "t CROSS JOIN m ON m.lsn = t.rowid" if self.match else "m"

    @property
    def matching(self) -> str:
        """The condition of the words, and first what narrows their rows without a look at each: a common word is in
        most messages."""
        if not self.match:
            return "".join(f"m.lsn IN ({rows}) AND " for rows in self.narrowing)
        # The plus keeps SQLite from asking FTS5 for each row of the list.
        return "t MATCH :match AND " + "".join(f"+t.rowid IN ({rows}) AND " for rows in self.narrowing)


def exists(condition: str) -> str:
    """That a delivery of the message is there for which the condition is true."""
    return f"EXISTS (SELECT 1 FROM d WHERE d.lsn = m.lsn AND d.gone = 0 AND {condition})"


def visible(scope: Scope, values: dict[str, Any]) -> str:
    """Which deliveries (`d` of `m`) the caller may see and asks for. A message that failed concerns its sender
    alone."""
    found = []
    if scope.reader is not None:
        values["reader"] = scope.reader
        may = "m.sender = :reader OR (m.failed = 0 AND d.receiver = :reader)"
        if scope.project:
            values["project"] = _list(scope.project)
            own = _LIST.format(name="project")
            may += f" OR (m.sender IN {own} AND (m.failed = 1 OR d.receiver IN {own}))"
        found.append(f"({may})")
    if scope.owner is not None:
        values["owner"] = scope.owner
        found.append("(m.sender = :owner OR (m.failed = 0 AND d.receiver = :owner))")
    if scope.party_of is not None:
        values["party_of"] = _list(scope.party_of)
        named = _LIST.format(name="party_of")
        found.append(f"(m.sender IN {named} OR d.receiver IN {named})")
    return " AND ".join(found) or "1"


def conditions(order: IndexOrder, *, full_text: bool) -> Conditions:
    """What an order's query finds."""
    values: dict[str, Any] = {}
    seen = visible(order.scope, values)
    of_message: list[str] = []
    of_delivery: list[str] = []
    narrowing: list[str] = []
    scope = order.scope
    if scope.reader is not None and not scope.project:
        narrowing.append(_rows_of(":reader"))
    if scope.owner is not None:
        narrowing.append(_rows_of(":owner"))
    for number, part in enumerate(order.parts):
        sql, is_of_delivery = _part(part, f"v{number}", values, order.scope)
        if part.is_excluded:
            of_message.append(f"NOT {exists(f'{seen} AND ({sql})') if is_of_delivery else f'({sql})'}")
        else:
            (of_delivery if is_of_delivery else of_message).append(f"({sql})")
            narrowing += _narrowing(part, f"v{number}")
    matched: list[str] = []
    marked: list[str] = []
    for number, term in enumerate(order.terms):
        name = f"w{number}"
        if full_text and is_word(term.text):
            phrase = _phrase(term)
            if term.is_excluded:
                values[name] = phrase
                of_message.append(f"m.lsn NOT IN (SELECT rowid FROM t WHERE t MATCH :{name})")
            else:
                matched.append(phrase)
        else:
            of_message.append(("NOT " if term.is_excluded else "") + _part_of_text(term.text, name, values))
            if not term.is_excluded:
                marked.append(term.text)
    if matched:
        values["match"] = " AND ".join(matched)
    return Conditions(
        tuple(of_message), tuple(of_delivery), seen, tuple(narrowing), values.get("match", ""), tuple(marked), values
    )


def is_word(text: str) -> bool:
    """Whether FTS5 can find it as words: it has a letter or digit, and none of a script without blanks."""
    return any(map(str.isalnum, text)) and _NO_BLANKS.search(text) is None


def _phrase(term: Term) -> str:
    text = term.text.replace("\0", " ").replace('"', '""')
    return f'"{text}"' + ("*" if term.is_prefix else "")


def _rows_of(value: str) -> str:
    return f"SELECT lsn FROM d WHERE receiver = {value} UNION ALL SELECT lsn FROM m WHERE sender = {value}"


def _narrowing(part: Part, name: str) -> list[str]:
    """A statement for the rows of an operator that names sessions."""
    named = _LIST.format(name=name)
    sent, got = f"SELECT lsn FROM m WHERE sender IN {named}", f"SELECT lsn FROM d WHERE receiver IN {named}"
    if part.operator == "from":
        return [sent]
    if part.operator == "to" and not part.values[0].startswith(AUDIENCE_SIGIL):
        return [got]
    return [f"{sent} UNION ALL {got}"] if part.operator in ("with", "project") else []


def _part_of_text(text: str, name: str, values: dict[str, Any]) -> str:
    if text.isascii() or text.lower() == text.upper():
        escaped = re.sub(r"([%_\\])", r"\\\1", text)
        values[name] = f"%{escaped}%"
        return f"m.text LIKE :{name} ESCAPE '\\'"
    values[name] = text.casefold()
    return f"holds(m.text, :{name})"


def _part(part: Part, name: str, values: dict[str, Any], scope: Scope) -> tuple[str, bool]:
    """The SQL of an operator, and whether it is about a delivery."""
    operator, first = part.operator, part.values[0] if part.values else ""
    if operator in ("after", "before"):
        values[name] = part.at_ms
        return f"m.at {'>=' if operator == 'after' else '<'} :{name}", False
    if operator == "is":
        if first == "unread":
            if scope.owner is None and scope.reader is None:
                return "d.status = 'pending'", True
            # Of one session's mail, what waits for that session.
            values[name] = scope.owner or scope.reader
            return f"d.status = 'pending' AND d.receiver = :{name}", True
        if first == "unanswered":
            return "m.is_request = 1 AND m.failed = 0 AND d.answered IS NULL", True
        return "m.several = 1", False
    if operator == "has":
        return ("m.ack = 1" if first == "ack" else "m.files != '[]'"), False
    if operator == "file":
        values[name] = first.lower()
        return f"EXISTS (SELECT 1 FROM json_each(m.files) WHERE lower(value) GLOB :{name})", False
    if operator == "group" or (operator == "to" and first.startswith(AUDIENCE_SIGIL)):
        values[name] = f" {AUDIENCE_SIGIL}{first.removeprefix(AUDIENCE_SIGIL)} "
        return f"instr(m.audience, :{name}) > 0", False
    if operator == "thread":
        values[name] = first
        return f"m.thread = :{name} OR m.id = :{name}", False
    if operator in ("task", "type", "priority"):
        values[name] = first
        return f"m.{operator} = :{name}", False
    if operator == "status":
        values[name] = first
        return f"d.status = :{name}", True
    values[name] = _list(part.values)
    named = _LIST.format(name=name)
    if operator == "from":
        return f"m.sender IN {named}", False
    if operator == "to":
        return f"d.receiver IN {named}", True
    return f"m.sender IN {named} OR d.receiver IN {named}", True


def _list(values: tuple[str, ...]) -> str:
    return _json.encode(values).decode()
