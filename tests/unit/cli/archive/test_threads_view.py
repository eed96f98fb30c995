"""Threads as lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from maestro_cli.archive import threads_view
from maestro_cli.history.log_lines import SessionNames
from maestro_cli.output.marks import STYLE

if TYPE_CHECKING:
    import pytest

    from maestro_schemas.documents import ThreadSummaryDoc

AT = 1_796_047_331_000


def thread(**more: Any) -> ThreadSummaryDoc:
    def message(key: str, sender: str, text: str) -> dict[str, Any]:
        return {"id": key, "from": sender, "to": "s", "message": text, "status": "read", "createdAt": AT}

    root, newest = message("msg_1", "s_ann", "main is\nred"), message("msg_2", "maestro", "fixed")
    found = {"threadId": "msg_1", "lsn": 2, "root": root, "newest": newest, "messages": 2}
    found["senders"] = ["s_ann", "maestro"]
    return cast("ThreadSummaryDoc", {**found, **more})


def test_a_thread_shows_how_it_began_and_what_came_last(monkeypatch: pytest.MonkeyPatch) -> None:
    names = SessionNames()
    names.learn({"s_ann": {"role": "worker", "name": "ann"}})
    lines = threads_view.block(thread(), names, AT, None)
    assert lines[0].endswith("  2 messages  ann, the post office")
    assert lines[1:] == ["  msg_1", "  | ann: main is red", "  | the post office: fixed"]
    monkeypatch.setenv("CLICOLOR_FORCE", "1")
    bold = threads_view.block(thread(messages=1), names, AT, 80)[0]
    assert bold.startswith(f"{STYLE}1m")
    assert bold.endswith(f"{STYLE}0m")
    assert "  1 message  " in bold


def test_a_thread_without_its_first_message() -> None:
    without = thread()
    del without["root"]
    many = [f"s_{number}" for number in range(6)]
    lines = threads_view.block({**without, "senders": many}, SessionNames(), AT, 40)
    assert len(lines) == 3
    assert threads_view.block({**without, "senders": many}, SessionNames(), AT, None)[0].endswith(
        "s_0, s_1, s_2, s_3 and 2 more"
    )
    assert max(map(len, lines)) <= 40
    same = thread(newest=thread()["root"])
    assert len(threads_view.block(same, SessionNames(), AT, None)) == 3
