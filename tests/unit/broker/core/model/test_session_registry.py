"""Who is here, by id and by name."""

from __future__ import annotations

from maestro_broker.core.model.session_registry import SessionRegistry


def test_dropping_a_session_that_is_not_known_changes_nothing() -> None:
    registry = SessionRegistry()
    registry.drop("absent")
    assert list(registry) == []
    assert registry.get("absent") is None
