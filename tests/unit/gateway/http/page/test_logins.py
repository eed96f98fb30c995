"""Logins: what a token allows, how long, and how many there are."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from maestro_clients.processes import login_codes
from maestro_gateway.http.page import logins
from maestro_gateway.http.page.logins import Logins
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from pathlib import Path


def code(data: Path, rights: login_codes.Rights = "full") -> str:
    return login_codes.issue(str(data), rights, time.time_ns() // 1_000_000)


@pytest.mark.parametrize("rights", ["full", "view"])
def test_a_code_is_traded_for_a_token_of_its_rights(tmp_path: Path, rights: login_codes.Rights) -> None:
    known = Logins(str(tmp_path))
    login = known.log_in(code(tmp_path, rights))
    assert (login.rights, known.rights_of(login.token)) == (rights, rights)
    assert len(login.token) * 6 >= 256
    assert abs(login.expires_at - time.time() * 1000 - logins.LIFE_S * 1000) < 60_000


def test_a_token_of_a_session_is_none_of_the_pages(tmp_path: Path) -> None:
    known = Logins(str(tmp_path))
    assert [known.rights_of(token) for token in (None, "", "tok_1", "a secret")] == [None] * 4


def test_a_token_that_is_good_no_longer_and_a_guess(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = Logins(str(tmp_path))
    token = known.log_in(code(tmp_path)).token
    later = time.monotonic() + logins.LIFE_S
    monkeypatch.setattr(time, "monotonic", lambda: later)
    for wrong in (token, token, "ui_guess", "ui_"):
        with pytest.raises(MaestroError) as raised:
            known.rights_of(wrong)
        assert raised.value.code == "LOGIN_REQUIRED"


def test_a_code_works_once_and_a_token_in_one_process(tmp_path: Path) -> None:
    known = Logins(str(tmp_path))
    made = code(tmp_path)
    token = known.log_in(made).token
    with pytest.raises(MaestroError) as raised:
        known.log_in(made)
    assert (raised.value.code, raised.value.status) == ("LOGIN_REFUSED", 403)
    again = Logins(str(tmp_path))
    with pytest.raises(MaestroError):
        again.rights_of(token)


def test_the_oldest_login_ends_where_there_are_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logins, "LOGINS_MAX", 2)
    known = Logins(str(tmp_path))
    first, second, third = (known.log_in(code(tmp_path)).token for _ in range(3))
    with pytest.raises(MaestroError):
        known.rights_of(first)
    assert [known.rights_of(token) for token in (second, third)] == ["full", "full"]
