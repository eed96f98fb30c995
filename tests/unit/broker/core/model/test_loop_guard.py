"""The loop guard: what two sessions may say to each other, and when again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from maestro_broker.core.model.loop_guard import PairHistory, pair_key, pair_limit
from maestro_schemas.limits import PAIR_WINDOW_MS, SHORT_REPLY_CHARS, SHORT_REPLY_QUIET_MS, Limits
from maestro_schemas.messages import Metadata
from support.offices import Office

LONG = "x" * (SHORT_REPLY_CHARS + 1)
LIMITS = Limits(rate_limit=1_000, short_replies_max=4)


def ping_pong(office: Office, count: int, text: str = "ok", **fields: object) -> list[int]:
    """Statuses of `count` messages in turns."""
    office.made = getattr(office, "made", 0)  # type: ignore[attr-defined]
    statuses = []
    for number in range(count):
        office.made += 1  # type: ignore[attr-defined]
        sender, to = ("ann", "bob") if number % 2 == 0 else ("bob", "ann")
        office.now_ms += 1
        statuses.append(office.send(sender, to, f"m{office.made}", text, **fields).status)  # type: ignore[attr-defined]
    return statuses


def pair_office(limits: Limits = LIMITS) -> Office:
    office = Office(limits)
    office.start("ann")
    office.start("bob")
    return office


def test_short_answers_in_turns_end() -> None:
    office = pair_office()
    assert ping_pong(office, 5) == [201] * 4 + [429]
    refused = office.send("ann", "bob", "more", "ok").error
    assert isinstance(refused, dict)
    assert refused["code"] == "LOOP_GUARD"
    assert (refused["limit"], refused["actual"]) == (4, 5)
    assert 0 < refused["retryAfter"] <= SHORT_REPLY_QUIET_MS / 1000
    office.now_ms += int(refused["retryAfter"] * 1000) + 1
    assert ping_pong(office, 4) == [201] * 4


def test_what_ends_a_run() -> None:
    for text, metadata in (
        (LONG, Metadata()),
        ("please look", Metadata(type="request")),
        ("stop", Metadata(type="command")),
        ("now", Metadata(priority="high")),
        ("seen?", Metadata(requires_ack=True)),
    ):
        office = pair_office()
        assert ping_pong(office, 4) == [201] * 4
        assert office.send("ann", "bob", "asks", text, metadata=metadata).status == 201
        assert ping_pong(office, 4) == [201] * 4, text


def test_one_who_says_several_short_things_is_no_loop() -> None:
    office = pair_office()
    for number in range(20):
        assert office.send("ann", "bob", f"m{number}", "done").status == 201


def test_the_window_of_a_pair() -> None:
    office = pair_office(Limits(rate_limit=1_000, pair_limit=6))
    assert ping_pong(office, 8, LONG) == [201] * 6 + [429] * 2
    office.start("cyd")
    assert office.send("ann", "cyd", "other", LONG).status == 201, "another pair"
    refused = office.send("ann", "bob", "more", LONG).error
    assert isinstance(refused, dict)
    assert (refused["code"], refused["limit"], refused["actual"]) == ("LOOP_GUARD", 6, 7)
    office.now_ms += int(refused["retryAfter"] * 1000) + 1
    assert office.send("ann", "bob", "more", LONG).status == 201


def test_a_repeat_is_no_message_more() -> None:
    office = pair_office(Limits(rate_limit=1_000, pair_limit=1))
    assert office.send("ann", "bob", "m1", LONG).status == 201
    assert office.send("ann", "bob", "m1", LONG).status == 200


def test_its_sizes_and_its_switch() -> None:
    assert pair_limit(Limits()) == 60
    assert pair_limit(Limits(rate_limit=0)) == 0
    assert pair_limit(Limits(pair_limit=7)) == 7
    assert pair_key("a", "b") == pair_key("b", "a")
    office = pair_office(Limits(rate_limit=0, pair_limit=1, short_replies_max=1))
    assert ping_pong(office, 9) == [201] * 9
    office = pair_office(Limits(rate_limit=1_000, short_replies_max=0))
    assert ping_pong(office, 30) == [201] * 30


def test_pairs_are_forgotten() -> None:
    office = pair_office()
    ping_pong(office, 4)
    office.now_ms += PAIR_WINDOW_MS
    office.tick()
    assert not office.state.pair("ann", "bob").is_over(0)
    assert ping_pong(office, 4) == [201] * 4


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 200_000)), max_size=60), st.integers(1, 5))
def test_never_more_than_the_window_within_any_ten_minutes(steps: list[tuple[bool, int]], most: int) -> None:
    limits = Limits(rate_limit=1_000, pair_limit=most, short_replies_max=0)
    pair, now_ms = PairHistory(), PAIR_WINDOW_MS + 1
    accepted: list[int] = []
    for forth, wait_ms in steps:
        now_ms += wait_ms
        sender, receiver = ("a", "b") if forth else ("b", "a")
        error = pair.refusal(sender, receiver, LONG, Metadata(), now_ms, limits)
        if error is not None:
            assert error.retry_after_s is not None
            free_ms = now_ms + round(error.retry_after_s * 1000)
            assert sum(at > free_ms - PAIR_WINDOW_MS for at in accepted) < most
            continue
        pair.add(sender, LONG, Metadata(), now_ms)
        accepted.append(now_ms)
        assert sum(at > now_ms - PAIR_WINDOW_MS for at in accepted) <= most
