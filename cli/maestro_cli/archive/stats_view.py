"""Stats view: the figures of a time as tables with bars.

Rule: pure; the reply of `analytics` in, lines out. A figure that is absent is shown as `-`, never as zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from maestro_cli.history.log_lines import SessionNames
from maestro_clients.exports.headings import day
from maestro_clients.texts.ages import aged, moment
from maestro_clients.texts.fence import named
from maestro_schemas.names import AUDIENCE_SIGIL, SYSTEM_SENDER
from maestro_schemas.texts.visible_text import one_line

from . import columns
from .search_view import index_notes
from .times import shortly

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from maestro_schemas.documents import AnalyticsDoc

By = Literal["route", "session", "hour", "day", "code", "pair"]

# How many rows a table of the overview has.
_ROWS_MAX = 5
_UNANSWERED_MAX = 3
_NUMBERS = frozenset({1, 2, 3, 4, 5})


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
        return [columns.cut(line, self._width) for line in lines]

    # --- the figures of all --------------------------------------------------------------------------------

    def _title(self) -> str:
        figures = self._figures
        whose = "" if self._whose is None else f" of {self._name(self._whose)}"
        since, until = moment(figures["since"], self._at_ms), moment(figures["until"], self._at_ms)
        return columns.cut(f"Mail{whose} from {since} to {until}", self._width)

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
        lines = columns.table(
            [(f"  {name}", f"{count:,}", columns.bar(count, greatest)) for name, count in rows], frozenset({1})
        )
        return [f"Delivery success rate: {shown}", *lines]

    def _times(self) -> list[str]:
        figures = self._figures
        answered = figures["times"]["answered"]
        asked = f"{figures['requestsAnswered']:,} of {figures['requests']:,} requests were answered"
        rows: list[tuple[str, ...]] = [("  until", "count", "average", "median", "p90", "longest")]
        for step in ("offered", "delivered", "read", "answered"):
            times = figures["times"][step]
            each = (times.get("meanMs"), times.get("p50Ms"), times.get("p90Ms"), times.get("maxMs"))
            rows.append((f"  {step}", f"{times['count']:,}", *map(shortly, each)))
        return [
            (
                f"Average response time: {shortly(answered.get('meanMs'))}; median "
                f"{shortly(answered.get('p50Ms'))} ({asked})"
            ),
            *columns.table(rows, _NUMBERS),
        ]

    def _unanswered(self) -> list[str]:
        found = self._figures["unanswered"]
        if not found:
            return []
        lines = [f"Requests without an answer, the oldest first: {_count(found)}"]
        for each in found[:_UNANSWERED_MAX]:
            who = f"{self._name(each['from'])} {self._arrow()} {self._name(each['to'])}"
            lines.append(columns.cut(f"  {aged(each['at'], self._at_ms)}  {who}  {each['id']}", self._width))
            lines.append(columns.cut(f"    | {one_line(each['text'])}", self._width))
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
        return [title, *(f"  {row}" for row in found), *more]

    # --- lists; `most`: of so few rows, 0: all ---------------------------------------------------------------

    def routes(self, most: int = 0) -> list[str]:
        """From whom to whom."""
        found = self._figures["routes"]
        greatest = max((route["deliveries"] for route in found), default=0)
        rows = [("ROUTE", "MESSAGES", "DELIVERIES", "")]
        for route in found[: most or None]:
            who = f"{self._name(route['from'])} {self._arrow()} {self._name(route['to'])}"
            bar = columns.bar(route["deliveries"], greatest)
            rows.append((who, f"{route['messages']:,}", f"{route['deliveries']:,}", bar))
        return self._table(rows)

    def pairs(self, most: int = 0) -> list[str]:
        """Who works with whom."""
        found = self._figures["pairs"]
        greatest = max((pair["forth"] + pair["back"] for pair in found), default=0)
        both = "⇄" if columns.is_unicode() else "<->"
        rows = [("PAIR", "FORTH", "BACK", "ANSWERS IN", "")]
        for pair in found[: most or None]:
            who = f"{self._name(pair['first'])} {both} {self._name(pair['second'])}"
            bar = columns.bar(pair["forth"] + pair["back"], greatest)
            rows.append((who, f"{pair['forth']:,}", f"{pair['back']:,}", shortly(pair.get("meanAnswerMs")), bar))
        return self._table(rows)

    def sessions(self, most: int = 0) -> list[str]:
        """What each session sent, got and answered."""
        found = self._figures["sessions"]
        greatest = max((each["sent"] + each["received"] for each in found), default=0)
        rows = [("SESSION", "SENT", "RECEIVED", "READ", "ANSWERED", "")]
        for each in found[: most or None]:
            bar = columns.bar(each["sent"] + each["received"], greatest)
            answered = f"{each['answered']:,} of {each['requests']:,}"
            numbers = (f"{each['sent']:,}", f"{each['received']:,}", f"{each['read']:,}", answered)
            rows.append((self._name(each["session"]), *numbers, bar))
        return self._table(rows)

    def series(self, most: int = 0) -> list[str]:
        """The volume in each hour."""
        return self._series("BEGINNING", lambda at_ms: moment(at_ms, self._at_ms)[:-3], most)

    def days(self, most: int = 0) -> list[str]:
        """The volume in each day."""
        return self._series("DAY", day, most)

    def _series(self, head: str, words: Callable[[int], str], most: int) -> list[str]:
        found = self._figures["series"]
        greatest = max((each["deliveries"] for each in found), default=0)
        rows = [(head, "SENT", "DELIVERIES", "")]
        for each in found[: most or None]:
            bar = columns.bar(each["deliveries"], greatest)
            rows.append((words(each["at"]), f"{each['sent']:,}", f"{each['deliveries']:,}", bar))
        return self._table(rows)

    def codes(self, most: int = 0) -> list[str]:
        """Why mail was refused."""
        found = self._figures["refusals"]
        greatest = max((each["count"] for each in found), default=0)
        rows = [("REASON", "COUNT", "", "WHOSE")]
        for each in found[: most or None]:
            ends = [self._name(each[end]) for end in ("from", "to") if end in each]
            who = f" {self._arrow()} ".join(ends)
            rows.append((named(each["name"]), f"{each['count']:,}", columns.bar(each["count"], greatest), who))
        return self._table(rows, frozenset({1}))

    def _via(self, most: int = 0) -> list[str]:
        found = self._figures["via"]
        greatest = max((each["count"] for each in found), default=0)
        rows = [
            (named(each["name"]), f"{each['count']:,}", columns.bar(each["count"], greatest))
            for each in found[: most or None]
        ]
        return columns.table(rows, frozenset({1}), self._width and self._width - 2)

    def _table(self, rows: list[Any], right: frozenset[int] | None = None) -> list[str]:
        """A table with a head; nothing for a head alone."""
        if len(rows) < 2:
            return []
        numbers = frozenset(range(1, len(rows[0]) - 1)) if right is None else right
        return columns.table(rows, numbers, self._width and self._width - 2)

    def notes(self) -> list[str]:
        """Where the index does not have all mail yet."""
        return index_notes(self._figures["index"])

    def _name(self, session: str) -> str:
        if session == SYSTEM_SENDER:
            return "the post office"
        return named(session) if session.startswith(AUDIENCE_SIGIL) else self._names.short(session)

    @staticmethod
    def _arrow() -> str:
        return "→" if columns.is_unicode() else "->"


def _percent(part: float) -> str:
    """`98.4 %`; 100 % only where it is all."""
    shown = f"{part * 100:.1f}"
    return f"{'99.9' if shown == '100.0' and part < 1 else shown.removesuffix('.0')} %"


def _count(found: Iterable[Any]) -> str:
    count = len(list(found))
    return "100 or more" if count >= 100 else str(count)
