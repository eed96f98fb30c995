"""Options: how a command declares its arguments, without a parser.

Rule: a command is a function `run` whose annotations stay text (`from __future__ import annotations`). They are read
by `command_table` for cyclopts, by `fast_table_writer` for the table of the fast path, and by `help.command_help`. An
annotation may use the names of `typing`, of this module, of `maestro_schemas.vocabularies` and of the command's own
module.
"""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING, Annotated, Any, Literal

from maestro_schemas import vocabularies
from maestro_schemas.limits import DELIVERIES_MAX, LISTED_MAX, LSN_MAX, PID_MAX, PORT_MAX
from maestro_schemas.vocabularies import OnEnded, Priority

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType


class Option:
    """An option or a positional argument, in the annotation of a parameter."""

    def __init__(
        self,
        *,
        help: str,  # noqa: A002 - cyclopts' name for it
        name: str | Sequence[str] = (),
        metavar: str | None = None,
        negative: str | None = None,
        any_text: bool = False,
        numbers: range | None = None,
    ) -> None:
        # What `--help` says of it.
        self.help = help
        # The option's spellings, or a positional argument's label; empty: derived from the parameter's name.
        self.names = (name,) if isinstance(name, str) else tuple(name)
        # The value's name in `--help`.
        self.metavar = metavar
        # The option that turns a switch off.
        self.negative = negative
        # The value is text for other readers: it may begin with a hyphen, even look like an option of ours.
        self.any_text = any_text
        # Those that it takes, where its value is a number.
        self.numbers = numbers


def declared(module: ModuleType) -> list[tuple[str, Any]]:
    """The parameters of a command's function in their order, each with its evaluated annotation."""
    names = {**vars(typing), **vars(vocabularies), **globals(), **vars(module)}
    annotations: dict[str, str] = module.run.__annotations__
    # Of our own source.
    return [(name, eval(text, names)) for name, text in annotations.items() if name != "return"]  # noqa: S307


# The numbers that options take: how many to show, how many answers, a line, a port (0: any), a process.
COUNTS = range(1, LISTED_MAX + 1)
ANSWERS = range(1, DELIVERIES_MAX + 1)
LSNS = range(LSN_MAX + 1)
PORTS = range(PORT_MAX + 1)
PIDS = range(PID_MAX + 1)

# --- shared by `session send`, `message reply` and `message retry` ------------------------------------------

AsOption = Annotated[
    str | None,
    Option(
        name="--as",
        metavar="operator",
        help="Speak as the operator, the person who owns this post office, and not as the shell's session.",
    ),
]
YesOption = Annotated[
    bool,
    Option(
        name="--yes",
        help="Do what must be confirmed: an audience of many sessions, or --as operator in an agent's shell.",
    ),
]

Awaitable = Literal["delivered", "read"]

FileOption = Annotated[
    str | None,
    Option(
        name=["--file", "-f"],
        metavar="PATH",
        any_text=True,
        help="A UTF-8 file that holds the text instead; `-` is standard input.",
    ),
]
MessageOption = Annotated[
    str | None,
    Option(name=["--message", "-m"], metavar="TEXT", any_text=True, help="The text; any characters, any lines."),
]
AttachOption = Annotated[
    list[str] | None,
    Option(
        metavar="PATH",
        help="A file to send with the message; may be repeated. Its receiver gets a path, and not the content.",
    ),
]
TemplateOption = Annotated[
    str | None,
    Option(
        metavar="NAME",
        help="The text is this template's, with --message or --file below it; `maestro template list` has the names.",
    ),
]
SetOption = Annotated[
    list[str] | None,
    Option(name="--set", metavar="NAME=VALUE", help="Fill a place of the template in; it may be repeated."),
]
PriorityOption = Annotated[Priority | None, Option(help="An inbox lists high first, low last. Default: medium.")]
OnEndedOption = Annotated[
    OnEnded | None,
    Option(
        help="If the receiver has ended: fail with an error, queue the message until the receiver comes back under "
        "the same id, or redirect it to the receiver's orchestrator. Default: the broker's setting on_ended."
    ),
]
RequireAckOption = Annotated[bool, Option(help="Ask the receiver to run `maestro message read ID`.")]
WaitOption = Annotated[Awaitable | None, Option(help="Return only when the message has this status.")]
WaitReplyOption = Annotated[
    bool, Option(help="Return only when a message answers this one (with --reply-to); print the answer.")
]
TimeoutOption = Annotated[
    str | None, Option(metavar="DURATION", help="How long to wait, then exit with code 7. Default: 30s.")
]
OutcomeOption = Annotated[bool, Option(name="--json", help="Print the outcome as one JSON object.")]

# --- shared by the commands of `maestro mail` -----------------------------------------------------------------

MailType = Literal["assignment", "status_update", "query", "response", "directive", "notification"]
MailTypeOption = Annotated[MailType, Option(name="--type", help="What the mail is for.")]
MailPriorityOption = Annotated[
    Literal["critical", "high", "normal", "low"] | None, Option(help="An inbox lists high first. Default: normal.")
]
SubjectOption = Annotated[str, Option(metavar="TEXT", any_text=True, help="The first line.")]
TextOption = Annotated[str | None, Option(name=["--message", "-m"], metavar="TEXT", any_text=True, help="The text.")]
