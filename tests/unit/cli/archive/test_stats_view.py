"""Figures as tables with bars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast, get_args

import pytest

from maestro_cli.archive.stats_view import By, StatsView

if TYPE_CHECKING:
    from maestro_schemas.documents import AnalyticsDoc

AT = 1_796_047_331_000
HOUR_MS = 3_600_000
NOTHING: dict[str, Any] = {
    "since": AT - 24 * HOUR_MS,
    "until": AT,
    "volume": {"sent": 0, "deliveries": 0, "fanOuts": 0},
    "outcome": {
        "delivered": 0, "read": 0, "answered": 0, "pending": 0, "expired": 0, "deletedUnread": 0, "refused": 0,
    },
    "times": {step: {"count": 0} for step in ("offered", "delivered", "read", "answered")},
    "requests": 0,
    "requestsAnswered": 0,
    "unanswered": [],
    "series": [],
    "bucketMs": HOUR_MS,
    "routes": [],
    "pairs": [],
    "via": [],
    "refusals": [],
    "sessions": [],
    "people": {"s_ann": {"role": "worker", "name": "ann"}, "s_ben": {"role": "worker", "name": "ben"}},
    "index": {"upTo": 9, "head": 9},
}  # fmt: skip
FIGURES: dict[str, Any] = {
    **NOTHING,
    "volume": {"sent": 1_200, "deliveries": 3_100, "fanOuts": 12},
    "outcome": {
        "delivered": 300, "read": 250, "answered": 41, "pending": 5, "expired": 3, "deletedUnread": 2, "refused": 4,
        "deliverySuccessRate": 0.9836,
    },
    "times": {
        **NOTHING["times"],
        "answered": {"count": 41, "meanMs": 41_000, "p50Ms": 12_000, "p90Ms": 185_000, "maxMs": 725_000},
    },
    "requests": 60,
    "requestsAnswered": 41,
    "unanswered": [
        {"id": f"msg_{number}", "from": "s_ann", "to": "s_ben", "at": AT - HOUR_MS, "text": "why\u202e?"}
        for number in range(4)
    ],
    "series": [{"at": AT - HOUR_MS, "sent": 1, "deliveries": 2}, {"at": AT, "sent": 0, "deliveries": 0}],
    "routes": [
        {"from": "s_ann", "to": "@workers" if number else "s_ben", "messages": 9, "deliveries": 63 - number}
        for number in range(7)
    ],
    "pairs": [
        {"first": "s_ann", "second": "s_ben", "forth": 12, "back": 9, "meanAnswerMs": 41_000},
        {"first": "maestro", "second": "s_ben", "forth": 1, "back": 0},
    ],
    "via": [{"name": "hook:claude-code:Stop", "count": 20}],
    "refusals": [{"name": "MAILBOX_FULL", "count": 3, "from": "s_ann", "to": "s_ben"}, {"name": "BUSY", "count": 1}],
    "sessions": [{"session": "s_ann", "sent": 5, "received": 2, "read": 1, "answered": 1, "requests": 2}],
}  # fmt: skip


def view(figures: dict[str, Any], width: int | None = None, whose: str | None = None) -> StatsView:
    return StatsView(cast("AnalyticsDoc", figures), AT, width, whose)


def test_the_overview_has_the_figures_in_their_words() -> None:
    lines = view(FIGURES).overview()
    text = "\n".join(lines)
    assert "Message volume: 1,200 sent, 3,100 deliveries; 12 went to several" in lines
    assert "Delivery success rate: 98.4 % of those that are not pending" in lines
    assert "Average response time: 41s; median 12s (41 of 60 requests were answered)" in lines
    assert "  answered      41      41s     12s  3m 5s   12m 5s" in lines
    assert "  offered        0        -       -      -        -" in lines
    assert "Collaboration patterns: who works with whom" in lines
    pair = next(line for line in lines if "ann ⇄ ben" in line)
    assert pair.split() == ["ann", "⇄", "ben", "12", "9", "41s", "█" * 20]
    assert "the post office ⇄ ben" in text
    assert "Most active routes" in lines
    assert "  ann → ben              9          63  ████████████████████" in lines
    assert "  2 more: maestro stats --by route" in lines
    assert any(line.split()[:2] == ["hook:claude-code:Stop", "20"] for line in lines)
    assert any(line.split()[:5] == ["MAILBOX_FULL", "3", "█" * 20, "ann", "→"] for line in lines)
    assert "Requests without an answer, the oldest first: 4" in lines
    assert "  1h  ann → ben  msg_0" in lines
    # What a sender wrote stays behind the bar, and shows what can't be seen.
    assert "    | why??" in lines
    assert "  all: maestro search 'is:unanswered'" in lines


def test_no_mail() -> None:
    assert view(NOTHING).overview()[1:] == ["", "No mail in this time."]
    assert view(NOTHING, whose="s_ann").overview()[0].startswith("Mail of ann from ")
    refused = {**NOTHING, "outcome": {**NOTHING["outcome"], "refused": 1}}
    assert "Delivery success rate: -" in view(refused).overview()


@pytest.mark.parametrize("by", get_args(By))
def test_one_list_is_whole(by: By) -> None:
    lines = view(FIGURES).only(by)
    rows = {"route": 7, "session": 1, "hour": 2, "day": 2, "code": 2, "pair": 2}
    assert len(lines) == 3 + rows[by]
    assert view(NOTHING).only(by)[2:] == ["Nothing in this time."]


def test_a_session_has_its_own_figures() -> None:
    assert view(FIGURES).only("session")[3].split()[:7] == ["ann", "5", "2", "1", "1", "of", "2"]


@pytest.mark.parametrize("width", [80, 60])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    names = {"s_ann": {"role": "worker", "name": "a" * 64}, "s_ben": {"role": "worker", "name": "b" * 64}}
    long = {**FIGURES, "people": names}
    lines = view(long, width, "s_ann").overview()
    for by in get_args(By):
        lines += view(long, width).only(by)
    assert [line for line in lines if len(line) > width] == []


def test_success_is_all_only_where_it_is_all() -> None:
    for rate, shown in ((1.0, "100 %"), (0.99999, "99.9 %"), (0.0, "0 %"), (0.5, "50 %")):
        outcome = {**FIGURES["outcome"], "deliverySuccessRate": rate}
        lines = view({**FIGURES, "outcome": outcome}).overview()
        assert f"Delivery success rate: {shown} of those that are not pending" in lines


def test_lists_have_an_end() -> None:
    many = [FIGURES["unanswered"][0]] * 100
    assert (
        "Requests without an answer, the oldest first: 100 or more"
        in view({**FIGURES, "unanswered": many}).overview()
    )


def test_an_index_that_is_behind_is_said() -> None:
    assert view(FIGURES).notes() == []
    behind = view({**FIGURES, "index": {"upTo": 2, "head": 9}}).notes()
    assert behind == ["the index is 7 records behind: the newest mail may be missing"]
    again = view({**FIGURES, "index": {"upTo": 2, "head": 9, "rebuilding": 0.42}}).notes()
    assert again == ["the index is being made again, 42% are done: there may be more"]
