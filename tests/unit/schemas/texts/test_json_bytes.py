"""JSON for programs, in which nothing hides from a person."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_schemas.texts import json_bytes
from maestro_schemas.texts.visible_text import is_visible

texts = st.text(alphabet='ab\xe9\u202e\u200b\x7f\x9b\u2028\U000e0041\U000e0101\ufff9\U0001f44d"\\', max_size=20)


@given(st.recursive(texts | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(texts, inner)))
def test_the_same_value_and_nothing_hidden(value: object) -> None:
    raw = json_bytes.encode(value)
    assert json.loads(raw) == value
    assert is_visible(raw.decode())


def test_usual_values_are_as_msgspec_writes_them() -> None:
    for value in ({"a": [1, None, "gr\xf6\xdfe \U0001f44d"]}, "\x1b[2J", ""):
        assert json_bytes.encode(value) == msgspec.json.encode(value)


def test_what_has_no_json_is_refused() -> None:
    with pytest.raises(TypeError):
        json_bytes.encode(object())
