"""Reply fields: how a command's body is written and its reply's fields are read.

Rule: sans-IO. A reply without a field that it must have is INTERNAL: it contradicts PROTOCOL.md.
"""

from __future__ import annotations

from maestro_schemas.errors import MaestroError

TYPE_CHECKING = False  # importing `typing` costs as much as a whole command of the fast path
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any


def given(**body: object) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}


def only(command: str, field: str, shape: type) -> Callable[[dict[str, Any]], Any]:
    """Reads the one field of a reply."""
    return lambda answer: field_of(command, answer, field, shape)


def whole(command: str, field: str, shape: type) -> Callable[[dict[str, Any]], Any]:
    """Reads a whole reply, and checks the field that it must have."""

    def read(answer: dict[str, Any]) -> dict[str, Any]:
        field_of(command, answer, field, shape)
        return answer

    return read


def field_of(command: str, answer: Mapping[str, Any], field: str, shape: type) -> Any:
    value = answer.get(field)
    if not isinstance(value, shape):
        raise odd(command, f"no {field}")
    return value


def odd(command: str, what: str) -> MaestroError:
    return MaestroError(
        "INTERNAL",
        f"the broker's answer to {command} has {what}",
        "It may be of another version: `maestro status` shows it. After `maestro down`, the next command starts the "
        "installed one.",
    )
