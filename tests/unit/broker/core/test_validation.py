"""Policy: what is taken out of a text, who may write to whom, how often."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_broker.core import validation
from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import RATE_WINDOW_MS, Limits
from maestro_schemas.messages import Metadata
from maestro_schemas.sessions import Session
from maestro_schemas.vocabularies import Role

LIMITS = Limits()


def test_text_length_is_counted_clean_and_refused_with_both_numbers() -> None:
    """10,000 characters pass, one more does not, and escapes do not count."""
    assert validation.check_message("x" * 10_000 + "\x1b[0m", LIMITS) == ("x" * 10_000, 4)
    with pytest.raises(MaestroError) as caught:
        validation.check_message("x" * 10_001, LIMITS)
    assert (caught.value.code, caught.value.limit, caught.value.actual) == ("TEXT_TOO_LONG", 10_000, 10_001)


@pytest.mark.parametrize("text", ["", "  \n", "\x1b[31m\x00"])
def test_an_empty_text_is_refused(text: str) -> None:
    """Also one of which nothing is left."""
    with pytest.raises(MaestroError) as caught:
        validation.check_message(text, LIMITS)
    assert caught.value.code == "EMPTY_MESSAGE"


@pytest.mark.parametrize("text", ["", " \n", "\u202e\u200b", "\U000e0041\U000e0042"])
def test_a_remark_that_no_reader_can_see_is_refused(text: str) -> None:
    with pytest.raises(MaestroError) as caught:
        validation.check_remark("note.message", text, 10)
    assert caught.value.code == "EMPTY_MESSAGE"


def test_a_remark_is_cleaned_and_bounded() -> None:
    assert validation.check_remark("note.message", "two\r\nlines\u202e\x9b2J", 10) == "two\nlines"
    with pytest.raises(MaestroError) as caught:
        validation.check_remark("needsInput.message", "\x00" * 900_000 + "x" * 1_001, 1_000)
    assert (caught.value.code, caught.value.limit, caught.value.actual) == ("TEXT_TOO_LONG", 1_000, 1_001)
    assert "1,001" in caught.value.message
    assert "1,000" in caught.value.message


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a\u202eb", "U+202E"),
        ("a\U000e0041", "U+E0041"),
        ("a\U000e0101", "U+E0101"),
        ("a\u200bb", "U+200B"),
        ("a\ufe0f", "U+FE0F"),
        ("a\u2028b", "U+2028"),
        ("a\nb", "the end of a line"),
        ("a\tb", "a tab"),
        ("", "is empty"),
        ("\u3000", "is empty"),
        ("x" * 65, "65 characters, and the limit is 64"),
    ],
)
def test_a_label_is_refused_with_what_is_wrong(text: str, what: str) -> None:
    with pytest.raises(MaestroError) as caught:
        validation.check_label("the session's name", text, 64)
    assert (caught.value.code, caught.value.limit, caught.value.actual) == ("INVALID", 64, len(text))
    assert what in caught.value.message
    assert caught.value.message.isprintable()


@pytest.mark.parametrize(
    "text", ["Ann", "Zo\xeb", "\u845b\u57ce", "\u0645\u06cc\u200c\u062e", "\u2764\ufe0f", "a\xa0b"]
)
def test_a_label_of_any_script(text: str) -> None:
    validation.check_label("the session's name", text, 64)


@pytest.mark.parametrize(
    ("metadata", "code"),
    [
        (Metadata(thread_id="m1"), "INVALID"),
        (Metadata(task_id="a\nb"), "INVALID"),
        (Metadata(task_id="x" * 129), "INVALID"),
        (Metadata(in_reply_to="../x"), "INVALID_ID"),
        (Metadata(data="x" * 5_000), "DATA_TOO_LARGE"),
        (Metadata(data=math.nan), "INVALID"),
        (Metadata(data=b"bytes"), "INVALID"),
        (Metadata(data={1: "number as a key"}), "INVALID"),
        (Metadata(data={"x": object()}), "INVALID"),
    ],
)
def test_bad_metadata(metadata: Metadata, code: str) -> None:
    """Each with its code."""
    with pytest.raises(MaestroError) as caught:
        validation.check_metadata(metadata, LIMITS)
    assert caught.value.code == code


@pytest.mark.parametrize("data", [{"a": [1, 2.5, None, "x"]}, [], 0, "", False])
def test_good_metadata(data: Any) -> None:
    """Any JSON value passes."""
    validation.check_metadata(Metadata(task_id="task_1 (b)", in_reply_to="m1", data=data), LIMITS)


@pytest.mark.parametrize("session_id", ["", "a/b", "..", "x" * 65, "maestro", "parent", "operator", "a\n"])
def test_ids_that_can_name_no_session(session_id: str) -> None:
    """They would be paths, addresses or other people's names."""
    with pytest.raises(MaestroError) as caught:
        validation.check_new_session_id(session_id)
    assert caught.value.code == "INVALID_ID"


@pytest.mark.parametrize("name", ["", " ", "x" * 65, "a\tb", "parent"])
def test_names_that_no_session_can_have(name: str) -> None:
    """A name is one printable line, and no address of another meaning."""
    with pytest.raises(MaestroError) as caught:
        validation.session_name(name)
    assert caught.value.code == "INVALID"


def test_tokens() -> None:
    """A session with a token takes only that; one without takes any."""
    stored = validation.token_hash("secret")
    validation.check_token("s", stored, "secret")
    validation.check_token("s", None, None)
    validation.check_token("s", None, "whatever")
    assert validation.is_token(stored, "secret")
    assert not validation.is_token(stored, None)
    assert not validation.is_token(None, "secret")
    for given_token, code in ((None, "TOKEN_REQUIRED"), ("wrong", "TOKEN_MISMATCH")):
        with pytest.raises(MaestroError) as caught:
            validation.check_token("s", stored, given_token)
        assert caught.value.code == code
        assert stored not in str(caught.value)


def _session(role: Role, project: str) -> Session:
    return Session(
        id=f"{role}-{project}",
        role=role,
        project_id=project,
        status="idle",
        started_at=0,
        last_activity=0,
    )


@pytest.mark.parametrize(
    ("sender", "receiver", "allowed"),
    [
        (("orchestrator", "a"), ("worker", "b"), True),
        (("orchestrator", "a"), ("orchestrator", "b"), True),
        (("worker", "a"), ("orchestrator", "b"), True),
        (("worker", "a"), ("worker", "a"), True),
        (("worker", "a"), ("worker", "b"), False),
    ],
)
def test_role_rule(sender: tuple[Role, str], receiver: tuple[Role, str], allowed: bool) -> None:
    """Orchestrators to anyone, workers to orchestrators and within their project."""
    if allowed:
        validation.check_role(_session(*sender), _session(*receiver))
    else:
        with pytest.raises(MaestroError) as caught:
            validation.check_role(_session(*sender), _session(*receiver))
        assert caught.value.code == "ROLE_FORBIDDEN"


def _refusal(window: validation.RateWindow, now_ms: int, limit: int) -> MaestroError | None:
    try:
        window.check(now_ms, limit)
    except MaestroError as error:
        return error
    return None


@given(st.lists(st.integers(0, 30_000), max_size=60), st.integers(1, 12))
def test_no_minute_ever_holds_more_than_the_limit(steps_ms: list[int], limit: int) -> None:
    """The window slides exactly, and `retryAfter` is the truth to the millisecond."""
    window, accepted, now_ms = validation.RateWindow(), [], 0
    for step_ms in steps_ms:
        now_ms += step_ms
        error = _refusal(window, now_ms, limit)
        if error is None:
            window.append(now_ms)
            accepted.append(now_ms)
        else:
            assert error.code == "RATE_LIMITED"
            assert error.retry_after_s is not None
            later_ms = now_ms + round(error.retry_after_s * 1000)
            assert len([at for at in accepted if at > later_ms - RATE_WINDOW_MS]) < limit
            assert len([at for at in accepted if at > later_ms - 1 - RATE_WINDOW_MS]) >= limit
        assert len([at for at in accepted if at > now_ms - RATE_WINDOW_MS]) <= limit


def test_a_limit_of_zero_is_none() -> None:
    """The documented way to switch it off."""
    window = validation.RateWindow()
    for _ in range(100):
        window.check(0, 0)
        window.append(0)


def test_too_many_items() -> None:
    """With both numbers."""
    validation.check_many(256, "ids", 256)
    with pytest.raises(MaestroError) as caught:
        validation.check_many(257, "ids", 256)
    assert (caught.value.code, caught.value.limit, caught.value.actual) == ("TOO_MANY", 256, 257)
