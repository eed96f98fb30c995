"""New ids and tokens."""

from __future__ import annotations

from maestro_clients.protocol.new_ids import new_message_id, new_session_id, new_token
from maestro_schemas.names import is_id


def test_new_ids_are_valid_and_unique() -> None:
    made = {make() for make in (new_message_id, new_session_id) for _ in range(500)}
    assert len(made) == 1_000
    assert all(is_id(name) for name in made)
    assert len({new_token() for _ in range(100)}) == 100
