"""Older brokers: a refusal that has no other cause than a broker of an earlier version.

Rule: a program asks only for commands and fields of its own version. So where a broker knows one of them not, it is
older than the program, and was not restarted after an update. Only a refusal costs this look.
"""

from __future__ import annotations

import re

from maestro_schemas.errors import MaestroError

TYPE_CHECKING = False  # `typing` costs more than this module
if TYPE_CHECKING:
    from collections.abc import Mapping

RESTART = "Restart it: `maestro down`, then `maestro up`. No mail is lost."

OLDER = "the broker that runs is older than this program"

# What a broker says: of a command, or of a field of a request or of a part of it.
_NO_COMMAND = re.compile(r"there is no command '([a-z.]+)'")
_NO_FIELD = re.compile(r"([a-z.]+): .*?(?:has no field|contains unknown field) `(\w+)`")


def explained(error: MaestroError) -> MaestroError:
    """The error; where only an older broker refuses so, one that says it, with the next step."""
    if error.code not in ("INVALID", "UNKNOWN_COMMAND") or not _is_of_this_version(error.message):
        return error
    return MaestroError(
        error.code,
        f"{OLDER}: {error.message.partition('; its fields are')[0]}",
        RESTART,
        http_hint=RESTART,
        details=error.details,
    )


def is_explained(error: MaestroError) -> bool:
    """Whether `explained` made this error."""
    return error.message.startswith(OLDER)


def is_older(known: Mapping[str, int]) -> bool:
    """Whether a broker whose `hello` has the limits `known` lacks one of this version, which is therefore newer. Two
    versions under development may have the same number."""
    from maestro_schemas.limits import Limits

    return any(name not in known for name, value in Limits()._asdict().items() if isinstance(value, int))


def _is_of_this_version(message: str) -> bool:
    """Whether this version has the command or the field that the broker does not know."""
    from maestro_schemas.commands import REQUESTS

    found = _NO_COMMAND.match(message)
    if found is not None:
        return found[1] in REQUESTS
    found = _NO_FIELD.match(message)
    return found is not None and found[1] in REQUESTS and found[2] in _fields(found[1])


def _fields(command: str) -> set[str]:
    """The names of all fields of a command's request, also of those in its parts."""
    import msgspec

    from maestro_schemas.commands import REQUESTS

    names: set[str] = set()
    seen: set[type] = set()

    def walk(kind: msgspec.inspect.Type) -> None:
        if isinstance(kind, msgspec.inspect.StructType):
            if kind.cls not in seen:
                seen.add(kind.cls)
                for field in kind.fields:
                    names.add(field.encode_name)
                    walk(field.type)
        elif isinstance(kind, msgspec.inspect.UnionType):
            for each in kind.types:
                walk(each)
        elif isinstance(kind, msgspec.inspect.ListType | msgspec.inspect.VarTupleType):
            walk(kind.item_type)

    walk(msgspec.inspect.type_info(REQUESTS[command]))
    return names
