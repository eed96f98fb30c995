"""Words: the options that the commands of `maestro mail` share, and a mail made of them."""

from __future__ import annotations

from typing import Annotated, Literal

from maestro_cli.options import Option

MailType = Literal["assignment", "status_update", "query", "response", "directive", "notification"]
MailPriority = Literal["critical", "high", "normal", "low"]

MailTypeOption = Annotated[MailType, Option(name="--type", help="What the mail is for.")]
MailPriorityOption = Annotated[MailPriority | None, Option(help="An inbox lists high first. Default: normal.")]
SubjectOption = Annotated[str, Option(metavar="TEXT", any_text=True, help="Its first line.")]
TextOption = Annotated[
    str | None, Option(name=["--message", "-m"], metavar="TEXT", any_text=True, help="Its text.")
]
