"""The options of a time, and how long something took."""

from __future__ import annotations

import time

import pytest

from maestro_cli.archive import times
from maestro_schemas.errors import MaestroError


def test_a_window() -> None:
    assert times.window(None, None) == (None, None)
    since, until = times.window("2026-11-22T10:00+00:00", "2026-11-23T10:00+00:00")
    assert (since, until) == (1_795_341_600_000, 1_795_428_000_000)
    assert times.window(None, "2999-01-01")[1] is not None


@pytest.mark.parametrize(
    ("since", "until", "said"),
    [
        ("2999-01-01", None, "--since 2999-01-01 is in the future"),
        ("1h", "2h", "--since 1h is not before --until 2h"),
        ("2020-01-01", "2020-01-01", "is not before"),
        ("soon", None, "--since: 'soon' is not a time"),
        (None, "2026-13-01", "--until: '2026-13-01' is not a time"),
        (None, "", "--until: '' is not a time"),
    ],
)
def test_a_window_that_holds_nothing(since: str | None, until: str | None, said: str) -> None:
    with pytest.raises(MaestroError) as raised:
        times.window(since, until)
    assert raised.value.code == "INVALID"
    assert said in raised.value.message


@pytest.mark.parametrize(
    ("milliseconds", "words"),
    [
        (None, "-"),
        (0, "0.0s"),
        (1_440, "1.4s"),
        (41_200, "41s"),
        (60_000, "1m"),
        (185_000, "3m 5s"),
        (7_800_000, "2h 10m"),
        (7_200_000, "2h"),
        (4 * 86_400_000 + 3 * 3_600_000, "4d 3h"),
    ],
)
def test_shortly(milliseconds: int | None, words: str) -> None:
    assert times.shortly(milliseconds) == words


def test_the_clock_of_this_place(monkeypatch: pytest.MonkeyPatch) -> None:
    for zone, minutes in (("UTC", 0), ("Asia/Kolkata", 330), ("America/St_Johns", -210)):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        if zone != "America/St_Johns" or not time.localtime().tm_isdst:
            assert times.utc_offset_minutes() == minutes
    monkeypatch.undo()
    time.tzset()
