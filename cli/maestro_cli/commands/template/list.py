"""`maestro template list`: the templates, with the places of each.

Rule: a template with an error is listed too, with the error.
"""

from __future__ import annotations

from maestro_cli.context import CommandContext
from maestro_cli.output import streams
from maestro_schemas.errors import MaestroError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated, Any

    from maestro_cli.options import Option

DETAILS = """\
A template is a file NAME.md in `.maestro/templates` of the project, or in
`templates` beside your config file; three are shipped. The first with a name
is the one that is used.

Examples:
  maestro template list
  maestro template list --json"""


def run(
    *,
    as_json: Annotated[
        bool, Option(name="--json", help='Print [{"name", "source", "path", "places", "title"}] as JSON.')
    ] = False,
) -> int:
    """List the templates."""
    from maestro_cli.output.render import plain
    from maestro_cli.templates import template_files
    from maestro_runtime import places

    environ, directory = CommandContext.here().environ, places.current_directory() or "/"
    found = [_entry(name, environ, directory) for name in template_files.names(environ, directory)]
    if as_json:
        streams.say_json(found)
        return 0
    from maestro_cli.output.tables import Column, table, terminal_width

    columns = [Column("NAME", least=10), Column("FROM", 1), Column("TEXT", least=20, wraps=True)]
    rows = []
    for entry in found:
        needs = f"; places: {', '.join(entry['places'])}" if entry["places"] else ""
        said = f"error: {entry['error']['message']}" if "error" in entry else f"{entry['title']}{needs}"
        rows.append((entry["name"], entry["source"], plain(said)))
    streams.say("\n".join(table(columns, rows, terminal_width(environ))))
    return 0


def _entry(name: str, environ: Any, directory: str) -> dict[str, Any]:
    from maestro_cli.templates import template_files

    try:
        template = template_files.read(name, environ, directory)
    except MaestroError as error:
        folder = template_files.names(environ, directory)[name]
        source, path = ("shipped", None) if folder is None else folder
        return {"name": name, "source": source, "path": path, "places": [], "title": "", "error": error.body()}
    return {
        "name": name,
        "source": template.source,
        "path": template.path or None,
        "places": template.places,
        "title": template.title(),
    }
