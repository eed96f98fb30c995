"""`absent_paths`: every call of the gateway is a path of its own, and none of them is said to be absent."""

from __future__ import annotations

import pytest

from maestro_gateway.absent_paths import absent
from maestro_gateway.http.routing import PREFIXES
from maestro_gateway.routes import CALLS


@pytest.mark.parametrize("prefix", PREFIXES)
def test_no_call_of_ours_is_absent(prefix: str) -> None:
    for call in CALLS:
        path = (prefix if call.versioned else "") + call.path.replace("{", "").replace("}", "")
        assert absent(path) is None, path


@pytest.mark.parametrize(
    "path", ["/api/sessions/x/docs/1", "/api/v1/tasks", "/api/teams/t/members", "/api/sessions/spawn"]
)
def test_a_call_of_the_other_server_is(path: str) -> None:
    body = absent(path)
    assert body is not None
    assert (body["statusCode"], body["code"]) == (404, "NOT_FOUND")
    assert body["hint"] in body["message"]


@pytest.mark.parametrize(
    "path", ["/api/sessions/spawned", "/api/tasksheet", "/tasks", "/api/v2/tasks", "/api/sessions"]
)
def test_another_path_is_not(path: str) -> None:
    assert absent(path) is None
