"""The rule of versions (docs/http-versions.md): what is served keeps what version 1 of the interface promised."""

from __future__ import annotations

import asyncio
import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from starlette.applications import Starlette

from maestro_gateway.api import answers
from maestro_gateway.docs import openapi
from maestro_gateway.http.responses import answer
from maestro_gateway.http.routing import API_VERSION, PREFIXES, Deprecation, Endpoint, routes
from maestro_schemas import __version__
from support import http_contract

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from support.gateways import Gateway

RECORD = Path(__file__).with_name("http_v1.txt")


def differences(recorded: set[str], served: set[str]) -> set[str]:
    """The promises that are gone, and the demands that are new."""
    gone = {line for line in recorded - served if not line.startswith("!")}
    return gone | {line for line in served - recorded if line.startswith("!")}


def test_nothing_of_version_1_is_gone() -> None:
    """A line of the record may go only with a new first number of the version."""
    recorded = set(RECORD.read_text(encoding="utf-8").splitlines())
    assert len(recorded) > 300
    assert sorted(differences(recorded, set(http_contract.lines()))) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Message.seq: integer", "Message.seq: string"),
        ("Message.seq is always there", None),
        ("GET /api/sessions takes query active", None),
        ("DELETE /api/messages/{message} answers 204 nothing ", None),
        ("POST /api/sessions/{session}/messages says 429 RATE_LIMITED", None),
        (None, "! SendBody requires ttlMs"),
    ],
)
def test_a_change_that_breaks_a_client_is_found(old: str | None, new: str | None) -> None:
    served = set(http_contract.lines())
    assert old is None or old in served
    changed = (served - {old}) | ({new} if new is not None else set())
    assert differences(served, changed) == {old or new}
    # And an addition is none.
    assert differences(served, served | {"Message.colour: string"}) == set()


def test_the_versions_that_are_shown(gateway: Gateway) -> None:
    shown = gateway.ask("GET", "/").json
    assert (shown["apiVersion"], shown["version"]) == (API_VERSION, __version__)
    info = gateway.ask("GET", "/openapi.json").json["info"]
    assert (info["version"], info["x-product-version"]) == (API_VERSION, __version__)
    assert f"Version {API_VERSION} of the interface" in gateway.ask("GET", "/docs").body.decode()
    # The first number is in the path.
    assert PREFIXES[-1] == f"/api/v{API_VERSION.partition('.')[0]}"


def test_a_deprecated_call_says_so() -> None:
    """The row of a call says that it will go; its document and the headers of its answers follow."""

    async def old(_request: Request) -> Response:
        """What it does."""
        return answer({"status": "ok", "version": "1"}, headers={"Link": '</api/old?after=1>; rel="next"'})

    will_go = Deprecation(dt.date(2027, 1, 31), dt.date(2027, 7, 31), "/api/v2/new")
    table = (Endpoint("GET", "/old", old, "An old call.", {200: answers.Live}, deprecation=will_go),)
    call = openapi.document(table)["paths"]["/api/old"]["get"]
    assert call["deprecated"] is True
    assert "until 2027-07-31 at least. Use `/api/v2/new`." in call["description"]
    got = _ask(Starlette(routes=list(routes(table))), "/api/v1/old")
    assert got.headers["deprecation"] == "@1801353600"
    assert got.headers["sunset"] == "Sat, 31 Jul 2027 00:00:00 GMT"
    assert got.headers.get_list("link") == [
        '</api/old?after=1>; rel="next"',
        '</api/v2/new>; rel="successor-version"',
    ]


def _ask(application: Starlette, path: str) -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.get(path)

    return asyncio.run(ask())
