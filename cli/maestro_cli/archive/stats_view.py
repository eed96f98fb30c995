"""Stats view: the figures of a time as tables with bars.

Rule: pure; the reply of `analytics` in, lines out. A figure that is absent is shown as `-`, never as zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from maestro_cli.history.log_lines import SessionNames
from maestro_cli.output.styles import styled
from maestro_cli.output.tables import Column, table
from maestro_cli.output.wrapping import cut, fitted, is_unicode
from maestro_clients.exports.headings import day
from maestro_clients.texts.ages import aged, moment
from maestro_clients.texts.fence import named
from maestro_clients.texts.short_ids import ShortIds
from maestro_schemas.names import AUDIENCE_SIGIL, SYSTEM_SENDER
from maestro_schemas.texts.visible_text import one_line

from .bars import bar
from .search_view import index_notes
from .times import shortly

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from maestro_schemas.documents import AnalyticsDoc

By = Literal["route", "session", "hour", "day", "code", "pair"]

_INDENT = "  "
# How many rows a table of the overview has.
_ROWS_MAX = 5
_UNANSWERED_MAX = 3
# The last column of most tables. It is the first that a narrow terminal lacks.
_BAR = Column("", priority=5, least=4)


class StatsView:
    """`width`: of the terminal; None for no bound. `whose`: the session that was asked for, if any."""

    def __init__(self, figures: AnalyticsDoc, at_ms: int, width: int | None, whose: str | None) -> None:
        self._figures = figures
        self._at_ms = at_ms
        self._width = width
        self._whose = whose
        self._names = SessionNames()
        self._names.learn(figures["people"])

    def overview(self) -> list[str]:
        """All of it, with the greatest entries of each list."""
        if not self._figures["volume"]["sent"] and not self._figures["outcome"]["refused"]:
            return [self._title(), "", "No mail in this time."]
        sections = [
            self._volume(),
            self._outcome(),
            self._times(),
            self._section("Collaboration patterns: who works with whom", self.pairs, _ROWS_MAX, "pair"),
            self._section("Most active routes", self.routes, _ROWS_MAX, "route"),
            self._section("What showed the mail", self._via, _ROWS_MAX, None),
            self._section("Refused, by reason", self.codes, _ROWS_MAX, "code"),
            self._unanswered(),
        ]
        lines = [self._title()]
        for section in sections:
            if section:
                lines += ["", *section]
        return self._fitted(lines)

    def only(self, by: By) -> list[str]:
        """One list, as long as it came."""
        tables: dict[By, Callable[[int], list[str]]] = {
            "route": self.routes,
            "session": self.sessions,
            "hour": self.series,
            "day": self.days,
            "code": self.codes,
            "pair": self.pairs,
        }
        rows = tables[by](0)
        return self._fitted([self._title(), "", *(rows or ["Nothing in this time."])])

    def _fitted(self, lines: list[str]) -> list[str]:
        return fitted(lines, self._width)

    # --- the figures of all --------------------------------------------------------------------------------

    def _title(self) -> str:
        figures = self._figures
        whose = "" if self._whose is None else f" of {self._name(self._whose)}"
        since, until = moment(figures["since"], self._at_ms), moment(figures["until"], self._at_ms)
        return f"Mail{whose} from {since} to {until}"

    def _volume(self) -> list[str]:
        volume = self._figures["volume"]
        return [
            (
                f"Message volume: {volume['sent']:,} sent, {volume['deliveries']:,} deliveries; "
                f"{volume['fanOuts']:,} went to several"
            )
        ]

    def _outcome(self) -> list[str]:
        outcome = self._figures["outcome"]
        rate = outcome.get("deliverySuccessRate")
        shown = "-" if rate is None else f"{_percent(rate)} of those that are not pending"
        rows = [
            ("delivered", outcome["delivered"]),
            ("read", outcome["read"]),
            ("answered", outcome["answered"]),
            ("pending", outcome["pending"]),
            ("expired", outcome["expired"]),
            ("deleted unread", outcome["deletedUnread"]),
            ("refused", outcome["refused"]),
        ]
        greatest = max(count for _, count in rows)
        counts = [(name, f"{count:,}", bar(count, greatest)) for name, count in rows]
        return [f"Delivery success rate: {shown}", *self._indented(self._counts("", "", counts))]

    def _times(self) -> list[str]:
        figures = self._figures
        answered = figures["times"]["answered"]
        asked = f"{figures['requestsAnswered']:,} of {figures['requests']:,} requests were answered"
        columns = [Column("UNTIL"), Column("COUNT", right=True), *_durations()]
        rows: list[tuple[str, ...]] = []
        for step in ("offered", "delivered", "read", "answered"):
            times = figures["times"][step]
            each = (times.get("meanMs"), times.get("p50Ms"), times.get("p90Ms"), times.get("maxMs"))
            rows.append((step, f"{times['count']:,}", *map(shortly, each)))
        return [
            (
                f"Average response time: {shortly(answered.get('meanMs'))}; median "
                f"{shortly(answered.get('p50Ms'))} ({asked})"
            ),
            *self._indented(self._table(columns, rows)),
        ]

    def _unanswered(self) -> list[str]:
        found = self._figures["unanswered"]
        if not found:
            return []
        lines = [f"Requests without an answer, the oldest first: {_count(found)}"]
        for each in found[:_UNANSWERED_MAX]:
            who = f"{self._name(each['from'])} {self._arrow()} {self._name(each['to'])}"
            shown = each["id"] if self._width is None else ShortIds([each["id"]]).of(each["id"])
            lines.append(f"  {aged(each['at'], self._at_ms)}  {who}  {shown}")
            lines.append(cut(f"    | {one_line(each['text'])}", self._width))
        if len(found) > _UNANSWERED_MAX:
            lines.append("  all: maestro search 'is:unanswered'")
        return lines

    def _section(self, title: str, rows: Callable[[int], list[str]], most: int, by: str | None) -> list[str]:
        found = rows(most)
        if not found:
            return []
        total = rows(0)
        rest = len(total) - len(found)
        more = [f"  {rest} more: maestro stats --by {by}"] if rest > 0 and by is not None else []
        return [styled(title, "bold"), *self._indented(found), *more]

    # --- lists; `most`: of so few rows, 0: all ---------------------------------------------------------------

    def routes(self, most: int = 0) -> list[str]:
        """From whom to whom."""
        found = self._figures["routes"]
        greatest = max((route["deliveries"] for route in found), default=0)
        columns = [_who("ROUTE"), _number("MESSAGES", 2), _number("DELIVERIES"), _BAR]
        rows = []
        for route in found[: most or None]:
            who = f"{self._name(route['from'])} {self._arrow()} {self._name(route['to'])}"
            length = bar(route["deliveries"], greatest)
            rows.append((who, f"{route['messages']:,}", f"{route['deliveries']:,}", length))
        return self._table(columns, rows)

    def pairs(self, most: int = 0) -> list[str]:
        """Who works with whom."""
        found = self._figures["pairs"]
        greatest = max((pair["forth"] + pair["back"] for pair in found), default=0)
        both = "⇄" if is_unicode() else "<->"
        columns = [_who("PAIR"), _number("FORTH"), _number("BACK"), _number("ANSWERS IN", 2), _BAR]
        rows = []
        for pair in found[: most or None]:
            who = f"{self._name(pair['first'])} {both} {self._name(pair['second'])}"
            length = bar(pair["forth"] + pair["back"], greatest)
            rows.append((who, f"{pair['forth']:,}", f"{pair['back']:,}", shortly(pair.get("meanAnswerMs")), length))
        return self._table(columns, rows)

    def sessions(self, most: int = 0) -> list[str]:
        """What each session sent, got and answered."""
        found = self._figures["sessions"]
        greatest = max((each["sent"] + each["received"] for each in found), default=0)
        numbers = [_number("SENT"), _number("RECEIVED"), _number("READ", 3), _number("ANSWERED", 2)]
        rows = []
        for each in found[: most or None]:
            length = bar(each["sent"] + each["received"], greatest)
            answered = f"{each['answered']:,} of {each['requests']:,}"
            counts = (f"{each['sent']:,}", f"{each['received']:,}", f"{each['read']:,}", answered)
            rows.append((self._name(each["session"]), *counts, length))
        return self._table([_who("SESSION"), *numbers, _BAR], rows)

    def series(self, most: int = 0) -> list[str]:
        """The volume in each hour."""
        return self._series("BEGINNING", lambda at_ms: moment(at_ms, self._at_ms)[:-3], most)

    def days(self, most: int = 0) -> list[str]:
        """The volume in each day."""
        return self._series("DAY", day, most)

    def _series(self, head: str, words: Callable[[int], str], most: int) -> list[str]:
        found = self._figures["series"]
        greatest = max((each["deliveries"] for each in found), default=0)
        rows = []
        for each in found[: most or None]:
            length = bar(each["deliveries"], greatest)
            rows.append((words(each["at"]), f"{each['sent']:,}", f"{each['deliveries']:,}", length))
        return self._table([Column(head, least=16), _number("SENT"), _number("DELIVERIES"), _BAR], rows)

    def codes(self, most: int = 0) -> list[str]:
        """Why mail was refused."""
        found = self._figures["refusals"]
        greatest = max((each["count"] for each in found), default=0)
        rows = []
        for each in found[: most or None]:
            ends = [self._name(each[end]) for end in ("from", "to") if end in each]
            who = f" {self._arrow()} ".join(ends)
            rows.append((named(each["name"]), f"{each['count']:,}", bar(each["count"], greatest), who))
        columns = [_who("REASON"), _number("COUNT"), _BAR, Column("WHOSE", 2, least=12)]
        return self._table(columns, rows)

    def _via(self, most: int = 0) -> list[str]:
        found = self._figures["via"]
        greatest = max((each["count"] for each in found), default=0)
        rows = [
            (named(each["name"]), f"{each['count']:,}", bar(each["count"], greatest))
            for each in found[: most or None]
        ]
        return self._counts("", "", rows)

    def _counts(self, name: str, count: str, rows: Sequence[tuple[str, ...]]) -> list[str]:
        return self._table([_who(name), _number(count), _BAR], rows)

    def _table(self, columns: Sequence[Column], rows: Sequence[tuple[str, ...]]) -> list[str]:
        """A table, so wide that it can be indented; nothing for a head alone."""
        return table(columns, rows, self._width and self._width - len(_INDENT)) if rows else []

    @staticmethod
    def _indented(lines: Iterable[str]) -> list[str]:
        return [_INDENT + line for line in lines]

    def notes(self) -> list[str]:
        """Where the index does not have all mail yet."""
        return index_notes(self._figures["index"])

    def _name(self, session: str) -> str:
        if session == SYSTEM_SENDER:
            return "the post office"
        return named(session) if session.startswith(AUDIENCE_SIGIL) else self._names.short(session)

    @staticmethod
    def _arrow() -> str:
        return "→" if is_unicode() else "->"


def _who(title: str) -> Column:
    return Column(title, least=12)


def _number(title: str, priority: int = 0) -> Column:
    return Column(title, priority, right=True)


def _durations() -> list[Column]:
    return [_number("AVERAGE"), _number("MEDIAN", 3), _number("P90", 2), _number("LONGEST", 1)]


def _percent(part: float) -> str:
    """`98.4 %`; 100 % only where it is all."""
    shown = f"{part * 100:.1f}"
    return f"{'99.9' if shown == '100.0' and part < 1 else shown.removesuffix('.0')} %"


def _count(found: Iterable[Any]) -> str:
    count = len(list(found))
    return "100 or more" if count >= 100 else str(count)
