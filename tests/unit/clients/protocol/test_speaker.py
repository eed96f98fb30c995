"""The `as` of a request: written from a session, and read back."""

from __future__ import annotations

import pytest

from maestro_clients.protocol import speaker
from maestro_clients.protocol.callers import Caller
from maestro_schemas.errors import MaestroError


@pytest.mark.parametrize(
    ("session", "token", "body"),
    [
        (None, None, {}),
        ("ann", None, {"session": "ann"}),
        ("ann", "secret", {"session": "ann", "token": "secret"}),
        (None, "of the receiver", {"token": "of the receiver"}),
        ("operator", None, {"operator": True}),
        ("operators", None, {"session": "operators"}),
        ("Operator", None, {"session": "Operator"}),
    ],
)
def test_there_and_back(session: str | None, token: str | None, body: dict[str, str | bool]) -> None:
    assert speaker.speaker(session, token) == body
    assert Caller(session, token).as_body() == body
    assert speaker.named_by(body) == (session, token)


def test_the_operator_has_no_token() -> None:
    assert speaker.speaker("operator", "stray") == {"operator": True}


def test_no_variable_is_the_operator() -> None:
    for session in (None, "", "ann"):
        speaker.check_variable(session)
    for check in (
        lambda: speaker.check_variable("operator"),
        lambda: Caller.from_environ({"MAESTRO_SESSION_ID": "operator", "MAESTRO_SESSION_TOKEN": "x"}),
    ):
        with pytest.raises(MaestroError) as caught:
            check()
        assert caught.value.code == "NO_SESSION"
        assert "--as operator" in caught.value.hint
