"""Tool table: the five tools of the MCP server, as a client lists them, and the check of their arguments.

Rule: terse, because several clients put every schema into every request of their model: a test holds the whole list
under 900 tokens. No tool administers anything.
"""

from __future__ import annotations

from maestro_schemas.errors import MaestroError

TYPE_CHECKING = False  # `typing` costs more than this module
if TYPE_CHECKING:
    from typing import Any, Final

# Clients give up a call after 60 s.
WAIT_S_MAX: Final = 50

_ID: Final = {"type": "string", "description": "Message id"}
_TEXT: Final = {"type": "string", "description": "Plain text"}
# Without these, a client takes a tool for one that destroys or reaches the internet, and asks its user each time.
_WRITES: Final = {"destructiveHint": False, "openWorldHint": False}
_READS: Final = {"readOnlyHint": True, "openWorldHint": False}


class Tool:
    """One tool. `required`: the names of the arguments that must be given."""

    def __init__(
        self, description: str, properties: dict[str, dict[str, Any]], required: list[str], hints: dict[str, bool]
    ) -> None:
        self.description = description
        self.properties = properties
        self.required = required
        self.hints = hints


TOOLS: Final[dict[str, Tool]] = {
    "send": Tool(
        "Write to another agent's session, or to the person (`operator`). When it returns, the message is on disk; "
        "the result says when its receiver sees it. Mail for you comes into your context by Maestro's hooks, where "
        "they are installed; without them, look with `inbox`.",
        {
            "to": {
                "type": "string",
                "description": "Session id or name, `parent`, `operator`, @workers, @all or another @group",
            },
            "message": _TEXT,
            "reply_to": {"type": "string", "description": "Id of the message that it answers"},
        },
        ["to", "message"],
        _WRITES,
    ),
    "inbox": Tool(
        "Show your new mail whole; what was shown counts as delivered. With `wait_s` it waits until mail comes, for "
        "example an answer. Mail that hooks have shown you is not shown again.",
        {
            "wait_s": {
                "type": "integer",
                "minimum": 0,
                "maximum": WAIT_S_MAX,
                "description": "Seconds to wait for mail, at most 50. Default 0",
            }
        },
        [],
        _WRITES,
    ),
    "sessions": Tool("Who you are, who is here, and what each does now.", {}, [], _READS),
    "receipt": Tool("What became of a message that you sent, at each receiver.", {"id": _ID}, ["id"], _READS),
    "reply": Tool(
        "Answer a message; the answer goes to its sender, and acknowledges it.",
        {"id": _ID, "message": _TEXT},
        ["id", "message"],
        _WRITES,
    ),
}


def listed() -> list[dict[str, Any]]:
    """The tools, as `tools/list` answers."""
    return [
        {
            "name": name,
            "description": tool.description,
            "inputSchema": {
                "type": "object",
                "properties": tool.properties,
                **({"required": tool.required} if tool.required else {}),
            },
            "annotations": tool.hints,
        }
        for name, tool in TOOLS.items()
    ]


def checked(name: str, arguments: object) -> dict[str, Any]:
    """The arguments of a call. Raises MaestroError INVALID, in words for the model."""
    tool = TOOLS[name]
    given = {} if arguments is None else arguments
    takes = ", ".join(tool.properties) or "no arguments"
    if not isinstance(given, dict):
        raise _refused(f"the arguments of `{name}` are no JSON object", f"It takes {takes}.")
    for key, value in given.items():
        if key not in tool.properties:
            raise _refused(f"`{name}` has no argument {str(key)[:60]!r}", f"It takes {takes}.")
        _check(name, key, value, tool.properties[key])
    missing = [f"`{key}`" for key in tool.required if key not in given]
    if missing:
        raise _refused(f"`{name}` needs {' and '.join(missing)}", f"It takes {takes}.")
    return given


def _check(name: str, key: str, value: object, schema: dict[str, Any]) -> None:
    if schema["type"] == "string":
        if not isinstance(value, str):
            raise _refused(f"`{key}` of `{name}` must be a string", "Call it again with a string.")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _refused(f"`{key}` has half a surrogate pair, which is no character", "Leave it out.") from None
        return
    # True is a number to Python, 3.0 is an integer to JSON, and 1e999 is infinite.
    if not isinstance(value, int | float) or isinstance(value, bool) or value % 1 != 0:
        raise _refused(f"`{key}` of `{name}` must be a whole number", "Call it again with a number of seconds.")
    if not schema["minimum"] <= value <= schema["maximum"]:
        raise MaestroError(
            "INVALID",
            f"`{key}` is {value:,}, and must be from {schema['minimum']} to {schema['maximum']}",
            "Wait again where the time was too short.",
            limit=schema["maximum"],
            actual=int(value),
        )


def _refused(message: str, hint: str) -> MaestroError:
    return MaestroError("INVALID", message, hint)
