"""The caller of a request: read from an environment, and written to the wire."""

from __future__ import annotations

import pytest

from maestro_clients.protocol.callers import Caller


@pytest.mark.parametrize(
    ("environ", "caller", "body"),
    [
        ({}, Caller(), {}),
        ({"MAESTRO_SESSION_ID": "", "MAESTRO_SESSION_TOKEN": ""}, Caller(), {}),
        ({"MAESTRO_SESSION_ID": "ann"}, Caller("ann"), {"session": "ann"}),
        (
            {"MAESTRO_SESSION_ID": "ann", "MAESTRO_SESSION_TOKEN": "secret", "OTHER": "x"},
            Caller("ann", "secret"),
            {"session": "ann", "token": "secret"},
        ),
    ],
)
def test_a_shell_speaks_for_its_session(environ: dict[str, str], caller: Caller, body: dict[str, str]) -> None:
    """An empty variable counts as absent. An absent field is omitted, never null."""
    assert Caller.from_environ(environ) == caller
    assert caller.as_body() == body
