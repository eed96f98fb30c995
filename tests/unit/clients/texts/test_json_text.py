"""The small JSON writer against the real one."""

from __future__ import annotations

import enum
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from maestro_clients.texts import json_text
from maestro_schemas.texts.visible_text import escaped

# `characters` has surrogates, and the separators that only JavaScript counts as line ends.
TEXT = st.text(st.characters(exclude_categories=()))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
KEYS = TEXT | st.integers() | st.booleans() | st.none() | st.floats()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(KEYS, inner), max_leaves=30
)


class Number(enum.IntEnum):
    ONE = 1


@given(VALUES, st.booleans())
@example({"a": float("nan"), "b": [float("inf"), -0.0, 1e300]}, True)
@example([Number.ONE, {Number.ONE: ()}, {}, []], False)
def test_the_same_text(value: Any, ascii_only: bool) -> None:
    """But for hidden characters, which are escaped without a change of the value."""
    ours, theirs = json_text.line(value, ascii_only=ascii_only), json.dumps(value, ensure_ascii=ascii_only)
    assert ours == escaped(theirs)
    assert repr(json.loads(ours)) == repr(json.loads(theirs))


@pytest.mark.parametrize("value", [object(), {"a": {1}}, [b"x"], {(1, 2): 3}])
def test_what_has_no_json_is_refused_alike(value: object) -> None:
    with pytest.raises(TypeError) as ours:
        json_text.line(value, ascii_only=True)
    with pytest.raises(TypeError) as theirs:
        json.dumps(value)
    assert str(ours.value) == str(theirs.value)


def test_as_deep_as_it_goes() -> None:
    deep: list[Any] = []
    for _ in range(450):
        deep = [deep]
    assert json_text.line(deep, ascii_only=True) == json.dumps(deep)
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(ValueError, match="Circular"):
        json_text.line(circle, ascii_only=True)


@given(VALUES)
@example({"a": [1, -0.0, 1e300, "\ud800"], "": None})
def test_what_is_read(value: Any) -> None:
    text = json.dumps(value)
    if any(word in text for word in ("NaN", "Infinity")):
        return
    assert repr(json_text.parsed(f" \r\n{text}\t")) == repr(json.loads(text))


@given(st.text(alphabet='{}[]",:0123456789.eE+-truefalsn \t\n\x0b\u00a0\\u', max_size=12))
@example("NaN")
@example("-Infinity")
@example("1 2")
@example("")
@example('"\n"')
def test_what_is_no_json(text: str) -> None:
    try:
        theirs = json.loads(text, parse_constant=_refused)
    except ValueError:
        with pytest.raises(ValueError):  # noqa: PT011 - each says it in its own words
            json_text.parsed(text)
    else:
        assert repr(json_text.parsed(text)) == repr(theirs)


def _refused(name: str) -> object:
    raise ValueError(name)


def test_too_deep_to_read() -> None:
    with pytest.raises(RecursionError):
        json_text.parsed("[" * 200_000)
