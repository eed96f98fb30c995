"""Ids: what can be one, and how they are made."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_schemas import names


@pytest.mark.parametrize("text", ["a", "0", "-", "_", "msg_1770536761607_abc123", "A-Z_09", "x" * 64])
def test_what_can_be_an_id(text: str) -> None:
    assert names.is_id(text)


@pytest.mark.parametrize(
    "text", ["", "x" * 65, "a b", "a/b", "..", ".", "a\n", "\n", "a|b", "ä", "a\0", "\u0663", "msg:1", "~", "a\u200b"]
)
def test_what_can_not(text: str) -> None:
    assert not names.is_id(text)


@given(st.text(max_size=70) | st.from_regex(r"[A-Za-z0-9_-]{0,66}\n?", fullmatch=True))
def test_an_id_means_nothing_to_a_path_a_shell_or_a_topic(text: str) -> None:
    # `$` also matches before a trailing newline; no id has one.
    assert names.is_id(text) == (re.match(names.ID_PATTERN, text) is not None and not text.endswith("\n"))
    if names.is_id(text):
        assert text.isascii()
        assert set(text).isdisjoint("/.|$`'\"\\ \n*?[]{}()<>;&!#~=")


@given(st.integers(0, 10**15 - 1), st.integers(0))
def test_made_ids_are_ids_of_the_documented_shape(now_ms: int, entropy: int) -> None:
    message, session = names.message_id(now_ms, entropy), names.session_id(now_ms, entropy)
    assert names.is_id(message)
    assert names.is_id(session)
    assert re.fullmatch(rf"msg_{now_ms}_[0-9a-z]{{9}}", message)
    assert session == "sess" + message.removeprefix("msg")
    assert names.message_time_ms(message) == now_ms
    assert int(message.rsplit("_", 1)[1], 36) == entropy % 36**9


@pytest.mark.parametrize(
    "text", ["", "m1", "msg_1", "msg_1_a_b_c", "sess_1_a", "msg__a", "msg_-1_a", "msg_1234567890123456_a", "msg_1a_b"]
)
def test_an_id_of_another_shape_has_no_time(text: str) -> None:
    assert names.message_time_ms(text) == -1


def test_other_entropy_gives_another_id() -> None:
    assert len({names.message_id(1, entropy) for entropy in range(2_000)}) == 2_000
    assert names.message_id(1, 0) == names.message_id(1, 36**9) == "msg_1_000000000"
    assert names.message_id(1, 36**9 - 1) == "msg_1_zzzzzzzzz"


@pytest.mark.parametrize("text", ["a", "0", "reviews", "code-review-2", "x" * 32, "projects", "all-hands"])
def test_what_can_be_a_group(text: str) -> None:
    assert names.is_group_name(text)
    assert names.group_of(f"@{text}") == text
    assert names.group_of(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "", "-a", "-", "A", "a_b", "a b", "a.b", "x" * 33, "\u00e9", "\u0663", "a\n", "project:shop", "@a",
        "all", "workers", "orchestrators", "project", "children", "parent", "operator", "last", "maestro",
    ],
)  # fmt: skip
def test_what_can_not_be_a_group(text: str) -> None:
    """Addresses of other kinds, and what is no safe name of a file."""
    assert not names.is_group_name(text)
    assert names.group_of(f"@{text}") is None


@given(st.text(max_size=40) | st.from_regex(r"[a-z0-9-]{0,34}\n?", fullmatch=True))
def test_a_group_has_a_name_of_the_pattern(text: str) -> None:
    taken = names.AUDIENCE_WORDS | names.RESERVED_IDS
    wanted = re.fullmatch(r"[a-z0-9][a-z0-9-]{0,31}", text) is not None and text not in taken
    assert names.is_group_name(text) == wanted


def test_reserved_names_are_ids_that_could_have_been_taken() -> None:
    assert all(map(names.is_id, names.RESERVED_IDS))
    assert names.is_id(names.DEFAULT_PROJECT)
    assert names.ID_CHARS_MAX == 64


@pytest.mark.parametrize(
    "text",
    [
        *("operator", "Operator", "PARENT", " maestro ", "last", "@", "@workers", "\uff20all", "\ufe6ball"),
        # Letters of Cyrillic, Greek, fullwidth and mathematical alphabets; a joiner; a dotless i.
        *("\u043e\u0440\u0435r\u0430t\u043er", "\u03bfp\u03b5rator", "\uff4d\uff41\uff45\uff53tro", "l\u0430st"),
        *("\U0001d429arent", "par\u200dent", "\u041c\u0410ESTR\u041e"),
    ],
    ids=ascii,
)
def test_what_looks_like_an_address_is_reserved(text: str) -> None:
    assert names.is_reserved(text)


@pytest.mark.parametrize(
    "text", ["operators", "lasting", "ann", "\u043c\u0438\u0440", "a@b", "Zo\u00eb", ""], ids=ascii
)
def test_what_is_free(text: str) -> None:
    assert not names.is_reserved(text)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("lead", "LEAD"),
        ("Zo\u00eb", "zoe\u0308"),
        ("stra\u00dfe", "STRASSE"),
        ("\u2160", "i"),
        ("a b", "a\u00a0b"),
        ("ann", "\u0430nn"),
        ("\u03bf", "\u043e"),
        ("c\ufe0fd", "cd"),
    ],
)
def test_names_that_look_the_same(one: str, other: str) -> None:
    assert names.likeness(one) == names.likeness(other)


@given(st.text(max_size=20))
def test_the_likeness_of_a_name_is_that_of_its_stored_form(text: str) -> None:
    assert names.likeness(names.plain_name(text)) == names.likeness(text)
    assert names.plain_name(names.plain_name(text)) == names.plain_name(text)


@pytest.mark.parametrize("text", ["a", "0", "A-b_c", "x" * 64])
def test_ids_of_new_sessions(text: str) -> None:
    assert names.is_new_session_id(text)


@pytest.mark.parametrize("text", ["", "-a", "_a", "--help", "a b", "last", "Last", "\u00e4", "x" * 65])
def test_ids_that_no_new_session_has(text: str) -> None:
    assert not names.is_new_session_id(text)


@pytest.mark.parametrize(
    ("message_id", "part"),
    [
        ("msg_1770536761607_k3v9x2m1a", "k3v9x2m1a"),
        ("msg_1770536761607_k3v9x2m1a_2oztxul", "k3v9x2m1a"),
        ("plan-7_2oztxul", "plan-7"),
        ("plan-7", "plan-7"),
        ("msg_1_2oztxul", "msg_1"),
        ("a_b_c_2oztxul", "a_b_c"),
        ("k_" + "0" * 40 + "_2oztxul", "k_" + "0" * 40),
    ],
)
def test_the_own_part_of_an_id(message_id: str, part: str) -> None:
    assert names.own_part(message_id) == part
    assert names.id_begins(message_id, part)
    assert names.id_begins(message_id, message_id[:5])
    assert not names.id_begins(message_id, "2oztxul")
