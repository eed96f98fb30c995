"""`maestro config show`: every setting, and where it came from.

Rule: it changes nothing. For a running broker it shows the values in force, not the file's present content.
"""

from __future__ import annotations

from maestro_cli.context import CommandContext
from maestro_cli.output import streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from maestro_cli.options import Option

DETAILS = """\
While a broker runs, its limits are those of its start: its flags, its
environment and the file as it was then. The rest is what the next start would
see.

Examples:
  maestro config show
  maestro config show retention http.port
  maestro config show --json"""


def run(
    *names: Annotated[str, Option(help="Only these, such as rate_limit or http.port. Default: all.")],
    as_json: Annotated[
        bool, Option(name="--json", help="Print everything as one JSON object, names to settings.")
    ] = False,
) -> int:
    """Show the settings."""
    from maestro_cli import settings_view
    from maestro_cli.output.render import plain

    context = CommandContext.here()
    picture = settings_view.collect(context)
    chosen = settings_view.select(picture.settings, names)
    if as_json:
        shown = {row.name: {key: value for key, value in row._asdict().items() if key != "name"} for row in chosen}
        streams.say_json({"path": picture.path, "pid": picture.pid, "changed": picture.changed, "settings": shown})
    else:
        from maestro_cli.output.tables import Column, table, terminal_width

        columns = [Column("NAME", least=30), Column("VALUE", least=20, wraps=True), Column("FROM", 1, wraps=True)]
        rows = list(map(settings_view.cells, chosen))
        streams.say("\n".join(table(columns, rows, terminal_width(context.environ))))
    for note in picture.notes:
        streams.note(f"note: {plain(note)}")
    return 0
