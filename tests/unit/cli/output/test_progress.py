"""How far a long work is: on a terminal, and only of what takes its time."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from maestro_cli.output import progress
from support.post_office import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def _terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """A pseudo-terminal as standard error; the list gets what was written to it."""
    shown: list[bytes] = []
    master, slave = os.openpty()
    monkeypatch.setenv("TERM", "xterm")

    def read() -> None:
        try:
            while part := os.read(master, 4096):
                shown.append(part)
        except OSError:
            pass  # the other end is closed

    reader = threading.Thread(target=read)
    reader.start()
    with open(slave, "w", encoding="utf-8") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        yield shown
    reader.join()
    os.close(master)


def test_how_far_a_long_work_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "AFTER_S", 0.0)
    begun = threading.Event()
    begin = progress._Line._begin

    def noticed(line: progress._Line) -> None:
        begin(line)
        begun.set()

    monkeypatch.setattr(progress._Line, "_begin", noticed)
    with _terminal(monkeypatch) as shown, progress.progress("export") as show:
        show("mail", 3, 12)
        assert begun.wait(20)
        # The line is drawn ten times a second: it may have begun before the first words.
        eventually(lambda: b"mail 3 of 12" in b"".join(shown), "the first words are drawn")
        show("mail\x1b[2J", 12, 12)
    text = b"".join(shown)
    assert b"export" in text
    assert b"mail 3 of 12" in text
    assert b"\x1b[2J" not in text


def test_a_short_work_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "AFTER_S", 600.0)
    with _terminal(monkeypatch) as shown, progress.progress("export") as show:
        show("mail", 3)
    assert shown == []


def test_elsewhere_nothing_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    before = threading.active_count()
    with progress.progress("export") as show:
        show("mail", 3)
        assert threading.active_count() == before
    monkeypatch.setattr(sys, "stderr", None)
    with progress.progress("export") as show:
        show("mail", done=3, total=4)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (progress.WorkDone("mail", 12_000), "mail 12,000"),
        (progress.WorkDone("", 3, 12), "3 of 12"),
        (progress.WorkDone("12 of 40\n mailboxes"), "12 of 40? mailboxes"),
    ],
)
def test_words(state: progress.WorkDone, words: str) -> None:
    assert state.words() == words
