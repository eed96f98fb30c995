"""Owners: the gateway hands no caller's words to another user's process at the broker's socket."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from support.eavesdropper import take_places
from support.post_office import eventually

if TYPE_CHECKING:
    from support.gateways import Gateway
    from support.post_office import PostOffice
    from support.users import OtherUser


def test_a_stranger_in_place_of_the_broker_gets_nothing(
    alone: Gateway, open_office: PostOffice, other_user: OtherUser
) -> None:
    assert alone.ask("GET", "/api/sessions").status == 200
    open_office.kill()
    path = open_office.router().removeprefix("ipc://")
    os.unlink(path)
    [stranger] = take_places(other_user, path)
    body = {"message": "a secret"}
    eventually(
        lambda: alone.ask("POST", "/api/sessions/bob/messages", body, headers={"X-Session-ID": "ann"}).status == 500,
        "the refusal of the stranger",
    )
    refused = alone.ask("POST", "/api/sessions/bob/messages", body, headers={"X-Session-ID": "ann"})
    assert refused.json["code"] == "NOT_PRIVATE"
    assert open_office.root.encode() not in refused.body, "callers over HTTP need no paths of this machine"
    assert stranger.heard_bytes() == 0
    open_office.start()
    eventually(lambda: alone.ask("GET", "/api/sessions").status == 200, "the gateway has found the broker")
