"""Reply fields: reads the fields that a client needs of a reply's body, and no others.

Rule: a reply that lacks one contradicts PROTOCOL.md, and is an INTERNAL error that names the command.
"""

from __future__ import annotations

from maestro_schemas.errors import MaestroError

TYPE_CHECKING = False  # importing `typing` costs as much as a whole command of the fast path
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any


def given(**body: object) -> dict[str, Any]:
    """A request's body, without the arguments that are absent."""
    return {name: value for name, value in body.items() if value is not None}


def only(command: str, name: str, shape: type) -> Callable[[dict[str, Any]], Any]:
    """A function that reads the one field of a reply."""
    return lambda answer: field(command, answer, name, shape)


def whole(command: str, name: str, shape: type) -> Callable[[dict[str, Any]], Any]:
    """A function that reads a whole reply, and checks the field that it must have."""

    def read(answer: dict[str, Any]) -> dict[str, Any]:
        field(command, answer, name, shape)
        return answer

    return read


def field(command: str, answer: Mapping[str, Any], name: str, shape: type) -> Any:
    """One field of a reply. Raises MaestroError INTERNAL."""
    value = answer.get(name)
    if not isinstance(value, shape):
        raise odd(command, f"no {name}")
    return value


def odd(command: str, what: str) -> MaestroError:
    """The error for a reply that contradicts PROTOCOL.md."""
    return MaestroError(
        "INTERNAL",
        f"the broker's answer to {command} has {what}",
        "It may be of another version: `maestro status` shows it. After `maestro down`, the next command starts the "
        "installed one.",
    )
