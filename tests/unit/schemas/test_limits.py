"""Limits: their values from text, and where each came from."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_clients.protocol import commands
from maestro_schemas import limits
from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import DOCS, Limits, check_number, parse_duration_ms, parse_limit, resolve

DAY_MS = 86_400_000


@pytest.mark.parametrize(
    ("text", "duration_ms"),
    [
        ("250ms", 250),
        ("30s", 30_000),
        ("5m", 300_000),
        ("1h", 3_600_000),
        ("7d", 7 * DAY_MS),
        ("1h30m", 5_400_000),
        ("1m1ms", 60_001),
        (" 2s ", 2_000),
        ("0s", 0),
        ("999999999999ms", 999_999_999_999),
    ],
)
def test_durations(text: str, duration_ms: int) -> None:
    assert parse_duration_ms(text) == duration_ms


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "5",
        "s",
        "-5s",
        "+5s",
        "1.5h",
        "5 s",
        "5S",
        "5w",
        "1h 30m",
        "5s;",
        "\u0665s",
        "\u00b2s",
        "1_0s",
        "9" * 13 + "s",
    ],
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(MaestroError) as caught:
        parse_duration_ms(text)
    assert caught.value.code == "BAD_SETTING"
    assert "250ms" in caught.value.hint


@pytest.mark.parametrize("text", ["999999999999d", "999999999999h" * 2])
def test_a_duration_that_no_clock_could_add_is_refused(text: str) -> None:
    with pytest.raises(MaestroError) as caught:
        parse_duration_ms(text)
    assert caught.value.code == "BAD_SETTING"
    assert len(caught.value.message) < 200


@given(st.text() | st.from_regex(r"[0-9]{1,14}(ms|s|m|h|d|x)?([0-9]+[smhd])*", fullmatch=True))
def test_any_text_is_a_duration_or_refused(text: str) -> None:
    try:
        duration_ms = parse_duration_ms(text)
    except MaestroError as error:
        assert error.code == "BAD_SETTING"
    else:
        assert 0 <= duration_ms <= 1 << 62


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("rate_limit", "600", 600),
        ("rate_limit", "0", 0),
        ("retention_ms", "7d", 7 * DAY_MS),
        ("retention_ms", "86400000", DAY_MS),
        ("wire_bytes_max", "1048576", 1 << 20),
        ("wire_bytes_max", "1M", 1 << 20),
        ("wire_bytes_max", "512k", 512 << 10),
        ("wire_bytes_max", "2MiB", 2 << 20),
        ("wire_bytes_max", "2mb", 2 << 20),
        ("disk_reserve_bytes", "1g", 1 << 30),
        ("disk_reserve_bytes", "4096b", 4_096),
        ("require_token", "1", 1),
        ("require_token", "True", 1),
        ("require_token", "on", 1),
        ("require_token", "no", 0),
        ("text_chars_max", " 20000 ", 20_000),
        ("on_ended", "queue", "queue"),
        ("on_ended", " Redirect ", "redirect"),
    ],
)
def test_values_by_their_unit(name: str, text: str, value: int | str) -> None:
    assert parse_limit(name, text) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rate_limit", "-1"),
        ("rate_limit", "ten"),
        ("rate_limit", ""),
        ("rate_limit", "1.5"),
        ("rate_limit", "10s"),
        ("rate_limit", "\u0663"),
        ("rate_limit", "True"),
        ("rate_limit", "9" * 5_000),
        ("text_chars_max", "0"),
        ("text_chars_max", "200001"),
        ("retention_ms", "7"),
        ("retention_ms", "-7d"),
        ("retention_ms", "never"),
        ("retention_ms", "9" * 20),
        ("wire_bytes_max", "17M"),
        ("wire_bytes_max", "1T"),
        ("wire_bytes_max", "9" * 16),
        ("require_token", "2"),
        ("require_token", "maybe"),
    ],
)
def test_values_out_of_range_or_reason(name: str, text: str) -> None:
    with pytest.raises(MaestroError) as caught:
        parse_limit(name, text)
    assert caught.value.code == "BAD_SETTING"
    assert len(caught.value.message) < 300


def test_the_error_of_a_value_out_of_range_has_both_numbers() -> None:
    with pytest.raises(MaestroError) as caught:
        parse_limit("text_chars_max", "300000")
    assert (caught.value.limit, caught.value.actual) == (200_000, 300_000)
    assert "1 to 200,000" in caught.value.message
    with pytest.raises(MaestroError) as caught:
        parse_limit("text_chars_max", "0")
    assert (caught.value.limit, caught.value.actual) == (1, 0)
    with pytest.raises(MaestroError) as caught:
        parse_limit("text_chars_max", "many")
    assert (caught.value.limit, caught.value.actual) == (1, None)


@pytest.mark.parametrize("name", ["retention", "Retention", "mailbox-idle"])
def test_a_bare_number_is_no_duration_where_its_name_does_not_say_the_unit(name: str) -> None:
    for flags, environ in (({name: "86400"}, {}), ({}, {f"MAESTRO_{name.upper().replace('-', '_')}": "86400"})):
        with pytest.raises(MaestroError, match="has no unit"):
            resolve({}, environ, flags)
    assert resolve({}, {}, {f"{name}_ms": "86400"})[0] != Limits()
    assert resolve({}, {"MAESTRO_LEASE_MS_MAX": "20"}, {})[0].lease_ms_max == 20


@given(st.integers(0, 10**12 - 1))
def test_a_duration_is_read_back(duration_ms: int) -> None:
    assert parse_duration_ms(limits.duration_text(duration_ms)) == duration_ms


def test_durations_in_words() -> None:
    spelled = [limits.duration_text(value) for value in (0, 1, 999, 1_000, 90_000, 3_600_000, 7 * DAY_MS)]
    assert spelled == ["0ms", "1ms", "999ms", "1s", "90s", "1h", "7d"]


def test_a_word_is_one_of_its_words_wherever_it_is_set() -> None:
    found, origins = resolve({"on_ended": "queue"}, {}, {})
    assert (found.on_ended, origins["on_ended"]) == ("queue", "config")
    found, origins = resolve({"on_ended": "queue"}, {"MAESTRO_ON_ENDED": "redirect"}, {})
    assert (found.on_ended, origins["on_ended"]) == ("redirect", "environment")
    found, origins = resolve({}, {"MAESTRO_ON_ENDED": "redirect"}, {"on-ended": "error"})
    assert (found.on_ended, origins["on_ended"]) == ("error", "flag")
    with pytest.raises(MaestroError) as caught:
        resolve({}, {"MAESTRO_ON_ENDED": "drop"}, {})
    assert caught.value.code == "BAD_SETTING"
    assert "MAESTRO_ON_ENDED" in caught.value.message
    assert "error, queue, redirect" in caught.value.message


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(MaestroError) as caught:
        parse_limit("rate_limits", "1")
    assert "rate_limit," in caught.value.hint
    assert "retention," in caught.value.hint


@given(st.sampled_from(sorted(DOCS)), st.text() | st.integers().map(str))
def test_any_text_is_a_value_in_range_or_refused(name: str, text: str) -> None:
    try:
        value = parse_limit(name, text)
    except MaestroError as error:
        assert error.code == "BAD_SETTING"
    else:
        doc = DOCS[name]
        assert value in doc.words if isinstance(value, str) else doc.low <= value <= doc.high


def test_defaults_are_those_of_the_design() -> None:
    found, origins = resolve({}, {}, {})
    assert found == Limits()
    assert set(origins.values()) == {"default"}
    assert (found.text_chars_max, found.rate_limit, found.retention_ms) == (10_000, 10, 7 * DAY_MS)
    assert (found.pending_max, found.wire_bytes_max, found.print_chars_max) == (10_000, 1 << 20, 20_000)


def test_each_limit_is_documented_and_its_default_allowed() -> None:
    assert set(DOCS) == set(Limits._fields)
    for name, value in Limits()._asdict().items():
        doc = DOCS[name]
        assert value in doc.words if doc.words else doc.low <= value <= doc.high, name
        assert (doc.unit == "word") == bool(doc.words), name
        assert doc.unit in {"count", "bytes", "ms", "chars", "switch", "word"}
        assert (doc.unit == "ms") == ("_ms" in name), name
        assert (doc.unit == "bytes") == ("bytes" in name), name
        assert doc.text


def test_flags_beat_the_environment_and_that_the_config() -> None:
    config = {"retention": "1d", "rate_limit": 20, "pending_max": 5, "require-token": True}
    environ = {"MAESTRO_RETENTION": "2d", "MAESTRO_RATE_LIMIT": "30", "MAESTRO_TTL_MAX": "", "MAESTRO_OTHER": "x"}
    found, origins = resolve(config, environ, {"retention": "3d"})
    assert (found.retention_ms, found.rate_limit, found.pending_max, found.require_token) == (3 * DAY_MS, 30, 5, 1)
    assert {name: origin for name, origin in origins.items() if origin != "default"} == {
        "retention_ms": "flag",
        "rate_limit": "environment",
        "pending_max": "config",
        "require_token": "config",
    }


def test_a_retention_may_count_from_the_reading() -> None:
    """`read+24h` sets the time after the reading, and leaves the retention of other mail as it is."""
    found, origins = resolve({"retention": "read+24h"}, {}, {})
    assert (found.retention_ms, found.read_retention_ms) == (7 * DAY_MS, DAY_MS)
    assert (origins["retention_ms"], origins["read_retention_ms"]) == ("default", "config")
    found, _ = resolve({"retention": "30d"}, {"MAESTRO_RETENTION": " read+2h "}, {})
    assert (found.retention_ms, found.read_retention_ms) == (30 * DAY_MS, 7_200_000)
    found, _ = resolve({}, {}, {"retention": "30d", "read_retention": "1d"})
    assert (found.retention_ms, found.read_retention_ms) == (30 * DAY_MS, DAY_MS)


def test_a_later_retention_of_all_mail_replaces_an_earlier_one_of_read_mail() -> None:
    found, origins = resolve({"retention": "read+24h"}, {}, {"retention": "3d"})
    assert (found.retention_ms, found.read_retention_ms) == (3 * DAY_MS, 0)
    assert (origins["retention_ms"], origins["read_retention_ms"]) == ("flag", "default")


@pytest.mark.parametrize("text", ["read+", "read+0", "read+24", "read+soon", "read", "unread+24h", "read+read+1h"])
def test_other_words_are_no_retention(text: str) -> None:
    with pytest.raises(MaestroError) as caught:
        resolve({}, {}, {"retention": text})
    assert caught.value.code == "BAD_SETTING"
    with pytest.raises(MaestroError):
        resolve({}, {}, {"mailbox_idle": "read+24h"})


def test_of_two_spellings_in_the_environment_the_one_with_its_unit_wins() -> None:
    found, _ = resolve({}, {"MAESTRO_RETENTION_MS": "3d", "MAESTRO_RETENTION": "2d"}, {})
    assert found.retention_ms == 3 * DAY_MS


@pytest.mark.parametrize("spelling", ["retention", "retention_ms", "Retention", "RETENTION-MS", " retention "])
def test_spellings_of_a_name(spelling: str) -> None:
    assert resolve({spelling: "2d"}, {}, {})[0].retention_ms == 2 * DAY_MS
    assert resolve({}, {}, {spelling: "2d"})[0].retention_ms == 2 * DAY_MS


@pytest.mark.parametrize(
    ("config", "flags"),
    [({"colour": 1}, {}), ({}, {"colour": "1"}), ({"rate_limit": True}, {}), ({"rate_limit": [1]}, {})],
)
def test_what_resolve_refuses(config: dict[str, object], flags: dict[str, str]) -> None:
    with pytest.raises(MaestroError) as caught:
        resolve(config, {}, flags)
    assert caught.value.code == "BAD_SETTING"


def test_a_lease_and_the_rate_window_fit_their_limits() -> None:
    assert Limits().lease_ms_max >= commands.DEFAULT_LEASE_MS
    assert limits.RATE_WINDOW_MS == 60_000


def test_a_wrong_value_says_where_it_stands() -> None:
    """The user did not just type it, so the error names the origin."""
    for config, environ, place in (
        ({"rate_limt": 5}, {}, "/x/config.toml"),
        ({"rate_limit": "many"}, {}, "/x/config.toml"),
        ({}, {"MAESTRO_RATE_LIMIT": "many"}, "the environment variable MAESTRO_RATE_LIMIT"),
        ({}, {"MAESTRO_RETENTION": "7"}, "the environment variable MAESTRO_RETENTION"),
    ):
        with pytest.raises(MaestroError) as caught:
            limits.resolve(config, environ, {}, "/x/config.toml")
        assert caught.value.code == "BAD_SETTING"
        assert f"(set by {place})" in caught.value.message


@pytest.mark.parametrize("name", sorted(limits.DOCS))
def test_each_settings_error_states_what_is_allowed(name: str) -> None:
    """In its message, since a note or a log line has no hint."""
    doc = limits.DOCS[name]
    for text in ("banana", "", "-1", "1.5", "99999999999999999999"):
        with pytest.raises(MaestroError) as caught:
            parse_limit(name, text)
        assert caught.value.code == "BAD_SETTING"
        assert limits.allowed(doc) in caught.value.message
        assert limits.allowed(doc) in caught.value.hint


def test_an_environment_switch() -> None:
    assert limits.switch("MAESTRO_AUTOSTART", {}, default=True)
    assert not limits.switch("MAESTRO_AUTOSTART", {"MAESTRO_AUTOSTART": ""}, default=False)
    assert not limits.switch("MAESTRO_AUTOSTART", {"MAESTRO_AUTOSTART": " Off "}, default=True)
    assert limits.switch("MAESTRO_AUTOSTART", {"MAESTRO_AUTOSTART": "yes"}, default=False)
    for text in ("banana", "2", "of"):
        with pytest.raises(MaestroError, match="MAESTRO_AUTOSTART can't be") as caught:
            limits.switch("MAESTRO_AUTOSTART", {"MAESTRO_AUTOSTART": text}, default=True)
        assert "true, yes, on, 1, false, no, off, 0" in caught.value.message


def test_a_number_below_its_range_is_refused_with_the_range() -> None:
    check_number("limit", None, 1)
    check_number("limit", 5_000, 1, 1_000)
    with pytest.raises(MaestroError, match=r"^limit must be 1 to 1,000, not 0\n") as raised:
        check_number("limit", 0, 1, 1_000)
    assert (raised.value.limit, raised.value.actual) == (1, 0)
    with pytest.raises(MaestroError, match=r"^before must be 1 or more, not -5\n"):
        check_number("before", -5, 1)
