"""Responses: an error's hint is a step of a caller that has only HTTP."""

from __future__ import annotations

import re
from typing import Any

import pytest

from maestro_gateway.http import responses
from maestro_gateway.http.responses import error_body, hint_of
from maestro_schemas.errors import MaestroError
from support.error_places import GATEWAY, OF_REQUESTS, error_places

# A command, an option, a variable; wider than what the gateway looks for.
SHELL = re.compile(
    r"\bmaestro [a-z]|`maestro|MAESTRO_[A-Z]|\beval\b|\$\(|(^|[\s`(])--[a-z]|\bthis shell\b|\bpip install\b"
)


def test_no_hint_in_the_source_reaches_http_with_words_of_a_shell() -> None:
    made = error_places(OF_REQUESTS, GATEWAY)
    assert len(made) > 100
    shells = [place for place in made if SHELL.search(place.hint)]
    assert len(shells) > 10, "the search finds what it looks for"
    for where, code, _, hint, _ in made:
        http_hint = hint_of(MaestroError(code, "what happened", hint))
        assert not SHELL.search(http_hint), f"{where}: {http_hint}"
        assert bool(http_hint) == bool(hint), where


def test_no_message_of_a_request_has_words_of_a_shell() -> None:
    """What happened is said without them. The errors of a start of a process are for its own command line."""
    starts = ("BAD_SETTING", "KEY_FILE_UNUSABLE")
    for where, code, message, *_ in error_places(OF_REQUESTS, GATEWAY):
        assert code in starts or not SHELL.search(message), f"{where}: {message}"


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (
            MaestroError("TOKEN_REQUIRED", "x", "Set MAESTRO_SESSION_TOKEN."),
            "Send Authorization: Bearer and the token.",
        ),
        (
            MaestroError("RECEIVER_NOT_FOUND", "x", "Did you mean ben? `maestro session list` shows who is here."),
            "Did you mean ben? GET /api/sessions?active=true lists the active sessions.",
        ),
        (MaestroError("CONFLICT", "x", "--replace", http_hint="Give `replace`."), "Give `replace`."),
        (MaestroError("CONFLICT", "x", "Give another id."), "Give another id."),
        (MaestroError("CONFLICT", "x"), ""),
        (
            MaestroError("RATE_LIMITED", "x", "Wait 3 s. The limit is MAESTRO_RATE_LIMIT.", retry_after_s=3.0),
            "Wait 3 s.",
        ),
        (MaestroError("FROM_THE_FUTURE", "x", "`maestro repair` does it."), "/docs lists every error."),
    ],
)
def test_the_hint(error: MaestroError, hint: str) -> None:
    assert hint_of(error) == hint
    body: dict[str, Any] = error_body(error)
    assert body.get("hint", "") == hint
    assert "httpHint" not in body


def test_the_form_for_http_travels_with_the_error() -> None:
    """The broker makes the error, and the gateway reads it from the wire."""
    error = MaestroError("CONFLICT", "x", "`maestro send --replace`", http_hint="Give `replace`.")
    assert hint_of(MaestroError.from_body(error.body())) == "Give `replace`."
    assert responses.error_answer(error).status_code == 409
