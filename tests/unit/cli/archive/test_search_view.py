"""The hits of a search as lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from maestro_cli.archive import search_view
from maestro_cli.history.log_lines import SessionNames
from maestro_cli.output.marks import STYLE
from maestro_cli.output.wrapping import shown_width

if TYPE_CHECKING:
    from maestro_schemas.documents import SearchDoc, SearchHitDoc

FOUND, END = f"{STYLE}1;33m", f"{STYLE}0m"
AT = 1_796_047_331_000


@pytest.fixture
def names() -> SessionNames:
    found = SessionNames()
    found.learn({"s_ann": {"role": "worker", "name": "ann"}, "s_ben": {"role": "worker", "name": "ben"}})
    return found


def hit(snippet: str = "main is red", **more: Any) -> SearchHitDoc:
    found = {name: more.pop(name) for name in ("receivers", "marks") if name in more}
    message: dict[str, Any] = {"id": "msg_1", "from": "s_ann", "to": "s_ben", "message": "x", "status": "read"}
    message = {**message, "createdAt": AT, **more}
    return cast("SearchHitDoc", {"lsn": 1, "message": message, "snippet": snippet, **found})


def test_a_hit(names: SessionNames) -> None:
    lines = search_view.block(hit(metadata={"type": "request", "taskId": "not a token"}), names, AT, None)
    assert lines[0].endswith("  ann → ben")
    assert lines[1:] == ["  msg_1  request, read", "  | task: not a token", "  | main is red"]
    files = [{"name": "a", "size": 1, "type": "x", "sha256": "0"}]
    assert search_view.block(hit(attachments=files), names, AT, None)[1] == "  msg_1  read, 1 file"


def test_to_whom_it_went(names: SessionNames) -> None:
    def to(**more: Any) -> str:
        return search_view.block(hit(**more), names, AT, None)[0].rpartition("→ ")[2]

    assert to(audience={"to": ["@workers"], "size": 7}) == '"@workers" (7)' or "@workers (7)"
    assert to(receivers=["s_ann", "s_ben"]) == "ann, ben"
    assert to(receivers=["s_ann", "s_ben", "s_1", "s_2"]) == "ann, ben, s_1 and 1 more"
    assert to(audience={"to": ["s_ben", "s_1"], "size": 2}) == "ben and 1 more"
    assert "the post office" in search_view.block(hit(**{"from": "maestro"}), names, AT, None)[0]


@pytest.mark.parametrize(
    ("snippet", "marks", "shown"),
    [
        ("main is red", [(8, 11)], "main is <red>"),
        ("red or red", [(0, 3), (7, 10)], "<red> or <red>"),
        ("👍 red", [(2, 5)], "👍 <red>"),
        ("\x1b[1mred", [], "?red"),
        ("red", [(0, 99)], "red"),
        ("red", [(2, 3), (0, 1)], "re<d>"),
    ],
)
def test_found_words_are_bold_on_a_terminal_alone(
    names: SessionNames, snippet: str, marks: list[tuple[int, int]], shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (
        search_view.block(hit(snippet, marks=marks), names, AT, 80)[-1]
        == f"  | {shown.replace('<', '').replace('>', '')}"
    )
    monkeypatch.setenv("CLICOLOR_FORCE", "1")
    assert (
        search_view.block(hit(snippet, marks=marks), names, AT, 80)[-1]
        == f"  | {shown.replace('<', FOUND).replace('>', END)}"
    )


@pytest.mark.parametrize("colours", ["0", "1"])
def test_no_line_is_wider_than_the_terminal(
    names: SessionNames, colours: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLICOLOR_FORCE", colours)
    long = hit("x" * 300, marks=[(70, 75), (290, 300)], receivers=[f"s_{'n' * 60}{number}" for number in range(9)])
    for width in (40, 80):
        assert max(map(shown_width, search_view.block(long, names, AT, width))) <= width


def test_how_many_there_are_and_the_next_page() -> None:
    index = {"upTo": 5, "head": 5}
    page: dict[str, Any] = {"hits": [], "total": 3, "people": {}, "hasMore": False, "before": 0, "index": index}
    assert search_view.notes(cast("SearchDoc", page), 3, 14) == ["3 messages, 14 ms"]
    assert search_view.notes(cast("SearchDoc", {**page, "total": 1}), 1, 14) == ["1 message, 14 ms"]
    more = cast("SearchDoc", {**page, "total": 10_000, "hasMore": True, "before": 77})
    assert search_view.notes(more, 50, 1_200) == [
        "50 of 10,000 or more messages, 1,200 ms",
        "the next page: the same command with --before 77",
    ]
