"""Pages of other origins: those that the settings name may use the gateway, and no other may."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from maestro_schemas.errors import MaestroError
from support.gateways import Gateway

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.post_office import PostOffice

# As the pages of a desktop shell come: in development, on macOS and Linux, and on Windows.
PAGES = ["http://localhost:1420", "tauri://localhost", "https://tauri.localhost"]
SESSION = {"id": "zoe", "projectId": "shop"}


@pytest.fixture
def gateway(open_office: PostOffice) -> Iterator[Gateway]:
    """One whose settings name the pages, with a space and a capital letter."""
    open_office.environ["MAESTRO_HTTP_ORIGINS"] = ", ".join(PAGES).replace("tauri://l", "Tauri://L")
    with Gateway(open_office) as made:
        yield made


def call(gateway: Gateway, method: str, path: str, origin: str, **more: Any) -> httpx.Response:
    headers = {"Origin": origin, "Sec-Fetch-Site": "cross-site", **more.pop("headers", {})}
    return httpx.request(method, gateway.url + path, headers=headers, **more)


def ask_leave(gateway: Gateway, origin: str, **headers: str) -> httpx.Response:
    """What a browser sends before a call that it does not send unasked."""
    asked = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "content-type,x-session-id"}
    return call(gateway, "OPTIONS", "/api/sessions/bob", origin, headers={**asked, **headers})


@pytest.mark.parametrize("origin", PAGES)
def test_a_page_that_the_settings_name(gateway: Gateway, origin: str) -> None:
    leave = ask_leave(gateway, origin, **{"Access-Control-Request-Private-Network": "true"})
    assert leave.status_code == 204
    assert leave.headers["access-control-allow-origin"] == origin
    assert "PATCH" in leave.headers["access-control-allow-methods"]
    assert "x-session-id" in leave.headers["access-control-allow-headers"].lower()
    assert leave.headers["access-control-allow-private-network"] == "true"
    made = call(gateway, "POST", "/api/sessions", origin, json=SESSION)
    assert made.status_code == 201
    for answer in (
        made,
        call(gateway, "GET", "/api/sessions/bob/mail", origin),
        # A refusal can be read as well.
        call(gateway, "GET", "/api/sessions/ghost", origin),
    ):
        assert answer.headers["access-control-allow-origin"] == origin
        assert "origin" in answer.headers["vary"].lower()
        assert "link" in answer.headers["access-control-expose-headers"].lower()
    with connect(gateway.ws_url, origin=Origin(origin), compression=None) as opened:
        opened.send(json.dumps({"type": "ping"}))
        assert json.loads(opened.recv(timeout=20))["type"] == "pong"


@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost:1421",
        "http://localhost",
        "https://localhost:1420",
        "http://127.0.0.1:1420",
        "tauri://localhost:1420",
        "tauri://localhost.example",
        "null",
    ],
)
def test_another_page_is_refused_with_the_setting_in_the_text(gateway: Gateway, origin: str) -> None:
    refused = call(gateway, "POST", "/api/sessions", origin, json=SESSION)
    assert (refused.status_code, refused.json()["code"]) == (403, "ORIGIN_REFUSED")
    assert "`origins`" in refused.json()["hint"]
    for answer in (refused, ask_leave(gateway, origin), call(gateway, "GET", "/api/sessions", origin)):
        assert not [name for name in answer.headers if name.startswith("access-control")]
    with pytest.raises(InvalidStatus) as handshake:
        connect(gateway.ws_url, origin=Origin(origin))
    assert handshake.value.response.status_code == 403


def test_the_rule_of_names_holds_for_an_admitted_page(gateway: Gateway) -> None:
    """Its own name may point at this machine tomorrow (DNS rebinding)."""
    answer = call(gateway, "POST", "/api/sessions", PAGES[0], json=SESSION, headers={"Host": "rebound.example"})
    assert (answer.status_code, answer.json()["code"]) == (421, "HOST_REFUSED")


def test_without_the_setting_no_page_is_admitted(open_office: PostOffice) -> None:
    with Gateway(open_office) as gateway:
        for origin in PAGES:
            assert call(gateway, "POST", "/api/sessions", origin, json=SESSION).json()["code"] == "ORIGIN_REFUSED"
            assert ask_leave(gateway, origin).status_code == 405


@pytest.mark.parametrize(
    ("text", "why"),
    [("*", "pages that you do not know"), ("null", "pages that you do not know"), ("localhost:1420", "is no origin")],
)
def test_a_gateway_does_not_start_with_what_is_no_origin(open_office: PostOffice, text: str, why: str) -> None:
    open_office.environ["MAESTRO_HTTP_ORIGINS"] = f"tauri://localhost,{text}"
    with pytest.raises(MaestroError, match=why) as refused, Gateway(open_office):
        pass
    assert refused.value.code == "BAD_SETTING"
    assert "MAESTRO_HTTP_ORIGINS" in refused.value.message
