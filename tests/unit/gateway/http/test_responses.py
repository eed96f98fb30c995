"""Responses: an error's hint is a step of a caller that has only HTTP."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from maestro_gateway.http import responses
from maestro_gateway.http.responses import error_body, hint_of
from maestro_schemas.errors import MaestroError

ROOT = Path(__file__).parents[4]
# Errors of these packages can be the answer to an HTTP request.
SOURCES = ("broker/maestro_broker", "clients/maestro_clients", "clients/maestro_gateway", "schemas/maestro_schemas")
# A command, an option, a variable; wider than what the gateway looks for.
SHELL = re.compile(
    r"\bmaestro [a-z]|`maestro|MAESTRO_[A-Z]|\beval\b|\$\(|(^|[\s`(])--[a-z]|\bthis shell\b|\bpip install\b"
)


def literals() -> list[tuple[str, str, str, str]]:
    """Where each MaestroError is made, and its code, message and hint as far as they are written there; a value that
    is filled in is `0`."""
    found = []
    for source in SOURCES:
        for path in sorted((ROOT / source).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "MaestroError" and node.args:
                    code, message, hint = ([_text(part) for part in node.args] + ["", ""])[:3]
                    found.append((f"{path.relative_to(ROOT)}:{node.lineno}", code, message, hint))
    return found


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) for part in node.values)
    if isinstance(node, ast.BinOp):
        return _text(node.left) + _text(node.right)
    if isinstance(node, ast.IfExp):
        return f"{_text(node.body)} {_text(node.orelse)}"
    return "0"


def test_no_hint_in_the_source_reaches_http_with_words_of_a_shell() -> None:
    made = literals()
    assert len(made) > 100
    shells = [hint for _, _, _, hint in made if SHELL.search(hint)]
    assert len(shells) > 10, "the search finds what it looks for"
    for place, code, _, hint in made:
        http_hint = hint_of(MaestroError(code, "what happened", hint))
        assert not SHELL.search(http_hint), f"{place}: {http_hint}"
        assert bool(http_hint) == bool(hint), place


def test_no_message_of_a_request_has_words_of_a_shell() -> None:
    """What happened is said without them. The errors of a start of a process are for its own command line."""
    starts = ("BAD_SETTING", "KEY_FILE_UNUSABLE")
    for place, code, message, _ in literals():
        assert code in starts or not SHELL.search(message), f"{place}: {message}"


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
