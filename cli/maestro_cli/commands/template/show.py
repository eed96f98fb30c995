"""`maestro template show`: one template, as its file has it."""

from __future__ import annotations

from maestro_cli.context import CommandContext
from maestro_cli.output import streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from maestro_cli.options import Option

DETAILS = """\
Its output is a template again: to change a shipped one, write it to a file of
your own and edit that.

Examples:
  maestro template show review
  mkdir -p .maestro/templates
  maestro template show review > .maestro/templates/review.md"""


def run(
    name: Annotated[str, Option(name="NAME", help="A template's name.")],
    /,
    *,
    as_json: Annotated[
        bool, Option(name="--json", help='Print {"name", "source", "path", "places", "fields", "text"} as JSON.')
    ] = False,
) -> int:
    """Print one template."""
    from maestro_cli.templates import template_files
    from maestro_runtime import places

    found = template_files.read(name, CommandContext.here().environ, places.current_directory() or "/")
    if as_json:
        streams.say_json({**found._asdict(), "path": found.path or None, "places": found.places})
        return 0
    fields = ["---", *(f"{field}: {value}" for field, value in found.fields.items()), "---"] if found.fields else []
    streams.say("\n".join([*fields, found.text]))
    return 0
