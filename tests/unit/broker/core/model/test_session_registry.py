"""Who is here, by id and by name, and in the order of their start."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from maestro_broker.core.model.session_registry import SessionRegistry
from maestro_schemas.errors import MaestroError
from maestro_schemas.names import likeness
from maestro_schemas.sessions import Session, StoredSession

NAMES = [None, "ann", "Ann", "\u0430nn", "bob", "carl"]
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["ann", "bob", "w1", "w2"]),
        st.sampled_from(NAMES),
        st.sampled_from(["idle", "working", "completed", None]),
        st.integers(1, 3),
    ),
    max_size=30,
)


def test_dropping_a_session_that_is_not_known_changes_nothing() -> None:
    registry = SessionRegistry()
    registry.drop("absent")
    assert list(registry) == []
    assert registry.get("absent") is None


@given(CHANGES)
def test_the_indexes_say_what_a_search_would(changes: list[tuple[str, str | None, str | None, int]]) -> None:
    """After any starts, changes, ends and forgotten sessions, in any order of their times."""
    registry = SessionRegistry()
    known: dict[str, Session] = {}
    for session_id, name, status, at in changes:
        if status is None:
            registry.drop(session_id)
            known.pop(session_id, None)
            continue
        session = Session(
            id=session_id,
            role="worker",
            project_id="p",
            status=status,  # type: ignore[arg-type] # one of the words
            started_at=at,
            last_activity=at,
            name=name,
            completed_at=at if status == "completed" else None,
        )
        registry.put(StoredSession(session=session))
        known[session_id] = session
    active = [one for one in known.values() if one.active]
    assert registry.active_count == len(active)
    words = [one.status for one in known.values()]
    assert registry.counts == {word: words.count(word) for word in set(words)}
    in_order = sorted(known.values(), key=lambda one: (one.started_at, one.id))
    for wanted in (None, True, False):
        ids = [one.id for one in in_order if wanted is None or one.active == wanted]
        assert [found.session.id for found in registry.page(None, active=wanted)] == ids
        for one in in_order:
            after = [other.id for other in in_order if (other.started_at, other.id) > (one.started_at, one.id)]
            page = registry.page((one.started_at, one.id), active=wanted)
            assert [found.session.id for found in page] == [other for other in after if other in ids]
    for text in ("ann", "Ann", "bob", "w1", "absent"):
        holders = {
            one.id
            for one in active
            if one.id == text or (one.name is not None and likeness(one.name) == likeness(text))
        }
        assert {found.session.id for found in registry.holders(text, "")} == holders
        assert {found.session.id for found in registry.holders(text, "ann")} == holders - {"ann"}
        assert _resolved(registry, text) == _searched(known, text)


def _resolved(registry: SessionRegistry, text: str) -> str | None:
    try:
        return registry.resolve(text, None, "SESSION_NOT_FOUND").session.id
    except MaestroError as error:
        return None if error.code == "SESSION_NOT_FOUND" else error.code


def _searched(known: dict[str, Session], text: str) -> str | None:
    by_id = known.get(text)
    if by_id is not None and by_id.active:
        return by_id.id
    named = [one.id for one in known.values() if one.active and one.name == text]
    if named:
        return named[0] if len(named) == 1 else "AMBIGUOUS_NAME"
    if by_id is not None:
        return by_id.id
    ended = [one for one in known.values() if not one.active and one.name == text]
    return max(ended, key=lambda one: (one.completed_at or 0, one.id)).id if ended else None


def test_the_bytes_of_a_session_follow_its_changes() -> None:
    registry = SessionRegistry()
    session = Session(id="a", role="worker", project_id="p", status="idle", started_at=1, last_activity=1)
    registry.put(StoredSession(session=session))
    before = registry.by_id("a").reply_bytes
    registry.put(StoredSession(session=replace(session, cwd="x" * 1_000)))
    assert registry.by_id("a").reply_bytes - before >= 1_000
