"""MaestroError: its body, and the error that is made from any other body."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_schemas.errors import CODES, MaestroError

FIELDS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers(), max_size=2)
BODIES = st.dictionaries(
    st.sampled_from(["code", "message", "hint", "httpHint", "retryAfter", "limit", "actual", "details", "other"]),
    FIELDS | st.dictionaries(st.text(max_size=3), FIELDS, max_size=2),
)


@pytest.mark.parametrize("code", list(CODES))
def test_each_code_has_a_status_of_http_and_says_whether_to_try_again(code: str) -> None:
    error = MaestroError(code, "what happened")
    assert HTTPStatus(error.status) >= 400
    assert (error.status, error.retryable, error.kind) == CODES[code]
    assert code.isupper()
    # Nothing is worth another try but what passes: too many, or a server that can't just now.
    assert not error.retryable or error.status in (429, 503, 504)


def test_a_code_of_a_newer_peer_is_kept_and_not_retried() -> None:
    error = MaestroError("FROM_THE_FUTURE", "what happened")
    assert (error.code, error.status, error.retryable) == ("FROM_THE_FUTURE", 500, False)


def test_what_is_absent_is_left_out() -> None:
    assert MaestroError("BUSY", "full").body() == {"code": "BUSY", "message": "full"}
    whole = MaestroError(
        "BUSY", "full", "wait", http_hint="ask", retry_after_s=0.12345, limit=0, actual=1, details={}
    )
    assert whole.body() == {
        "code": "BUSY",
        "message": "full",
        "hint": "wait",
        "httpHint": "ask",
        "retryAfter": 0.123,
        "limit": 0,
        "actual": 1,
        "details": {},
    }
    assert str(whole) == "full"


@given(
    st.text(),
    st.text(),
    st.text(),
    st.none() | st.floats(0, 1e6),
    st.none() | st.integers(),
    st.none() | st.dictionaries(st.text(), st.integers()),
)
def test_a_body_becomes_the_same_error(
    code: str, message: str, hint: str, retry_after_s: float | None, limit: int | None, details: dict[str, Any] | None
) -> None:
    error = MaestroError(code, message, hint, retry_after_s=retry_after_s, limit=limit, actual=limit, details=details)
    assert MaestroError.from_body(error.body()).body() == error.body()


@given(FIELDS | BODIES)
def test_anything_becomes_some_error_that_can_be_written_out(body: Any) -> None:
    error = MaestroError.from_body(body)
    if not isinstance(body, dict) or not isinstance(body.get("code"), str):
        assert error.code == "INTERNAL"
        assert "can't be read" in error.message
    json.dumps(error.body(), allow_nan=False)


def test_odd_bodies() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    odd: list[Any] = [deep, {"code": deep}, None, b"", 7]
    assert {MaestroError.from_body(body).code for body in odd} == {"INTERNAL"}
    error = MaestroError.from_body(
        {
            "code": "BUSY",
            "message": deep,
            "hint": 7,
            "retryAfter": 10**400,
            "limit": True,
            "actual": 1.5,
            "details": [],
        }
    )
    assert error.body() == {"code": "BUSY", "message": ""}
    for seconds in (True, "1", -1, float("nan"), float("inf"), 1e300):
        assert MaestroError.from_body({"code": "BUSY", "retryAfter": seconds}).retry_after_s is None
    assert MaestroError.from_body({"code": "BUSY", "retryAfter": 2}).body()["retryAfter"] == 2.0


def test_an_error_of_the_wire_keeps_its_numbers() -> None:
    body = MaestroError("RATE_LIMITED", "a", "b", retry_after_s=41.5, limit=10, actual=11).body()
    assert MaestroError.from_body(msgpack.unpackb(msgpack.packb(body))).body() == body
