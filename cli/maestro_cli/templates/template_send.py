"""Template send: what the options --template and --set add to a send.

Rule: an option of the command outweighs the template's front matter. A text of the command comes below the
template's, after an empty line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

from maestro_cli.arguments import checked_text, text_of
from maestro_runtime import places
from maestro_schemas.errors import MaestroError

from . import template_files, template_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from maestro_schemas.vocabularies import MessageType, Priority


class TemplateSaid(NamedTuple):
    """What a filled template says of the message."""

    text: str
    to: list[str]
    kind: MessageType | None
    priority: Priority | None
    task: str | None
    requires_ack: bool


def filled(
    name: str | None,
    settings: list[str] | None,
    message: str | None,
    path: str | None,
    environ: Mapping[str, str],
) -> TemplateSaid:
    """The template with its places filled in. `message`, `path`: the options --message and --file. Raises
    MaestroError INVALID, FILE_UNREADABLE."""
    if name is None:
        raise MaestroError("INVALID", "--set is for --template", "Name a template: maestro template list")
    values = {key: checked_text("--set", value) for key, value in template_text.given(settings or ()).items()}
    directory = places.current_directory() or "/"
    template = template_files.read(name, environ, directory)
    found = template_text.filled(template, values)
    text = found.text
    if message is not None or path is not None:
        text = f"{text}\n\n{text_of(message, path)}"
    receiver = found.word("to")
    return TemplateSaid(
        text,
        [] if receiver is None else [receiver],
        cast("MessageType | None", found.word("type")),
        cast("Priority | None", found.word("priority")),
        found.word("task"),
        found.word("requireAck") == "true",
    )
