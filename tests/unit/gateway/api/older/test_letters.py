"""`letters`: what is sent as a mail is shown as that mail, whatever is in it."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from maestro_gateway.api.older import letters
from maestro_gateway.api.older.mail_bodies import LetterBody
from maestro_schemas.texts.visible_text import clean

TYPES = ("assignment", "status_update", "query", "response", "directive", "notification")
FIELDS = ("instructions", "message", "question", "answer", "details", "task_id")
VALUES = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=8), st.lists, max_leaves=4)
BODIES = st.dictionaries(st.sampled_from(FIELDS), st.text(max_size=20) | VALUES, max_size=4)


def received(text: str, metadata: dict[str, Any]) -> Any:
    """The message as the broker keeps it."""
    return {"id": "m1", "from": "ann", "to": "bob", "message": clean(text), "createdAt": 1, "metadata": metadata}


@given(
    st.sampled_from(TYPES),
    st.text(min_size=1, max_size=12),
    BODIES,
    st.sampled_from((None, "critical", "low", "normal")),
)
def test_a_mail_is_shown_as_it_was_sent(kind: Any, subject: str, body: dict[str, Any], priority: Any) -> None:
    letter = LetterBody(type=kind, subject=subject, body=body, priority=priority, project_id="p")
    text, metadata = letters.composed(letter)
    assert clean(text) == text, "the broker takes nothing out of it"
    shown = letters.shown(received(text, metadata), "")
    assert (shown.type, shown.subject, shown.project_id) == (kind, subject, "p")
    assert shown.priority == (UNSET if priority is None else priority)
    # A reader sees no hidden character of the text; everything else is as it was.
    field = {"assignment": "instructions", "query": "question", "response": "answer", "directive": "details"}
    name = field.get(kind, "message")
    said = body.get(name)
    expected = dict(body)
    if isinstance(said, str) and clean(said) and not clean(said).isspace():
        expected[name] = clean(said)
    assert shown.body == expected


@given(st.dictionaries(st.sampled_from(("type", "subject", "body", "textAt", "priority", "projectId")), VALUES))
def test_no_data_of_a_sender_breaks_the_list(mail: dict[str, Any]) -> None:
    for text in ("x", "a\n\nb", "\n\n"):
        shown = letters.shown(received(text, {"data": {"mail": mail}}), "p")
        assert shown.type in TYPES
        assert letters.rank(shown) == letters.rank(shown)
