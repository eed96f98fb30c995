"""`maestro service uninstall`: remove the units.

Rule: the service is stopped first, where systemd can be reached; mail and settings stay.
"""

from __future__ import annotations

from maestro_cli.context import CommandContext
from maestro_cli.output import streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from maestro_cli.options import Option

DETAILS = """\
Examples:
  maestro service uninstall"""


def run(
    *,
    force: Annotated[bool, Option(help="Also units that another program made.")] = False,
    as_json: Annotated[bool, Option(name="--json", help='Print {"removed": [paths]} as JSON.')] = False,
) -> int:
    """Remove the service; mail and settings stay."""
    from maestro_cli.processes import unit_removal
    from maestro_schemas.errors import MaestroError

    context = CommandContext.here()
    there = unit_removal.units_of(context.data, context.environ)
    for path in there:
        if not force and not unit_removal.is_ours(path):
            raise MaestroError("INVALID", f"{path} was made by another program", "--force removes it anyway.")
    if there:
        unit_removal.remove(there)
    if as_json:
        streams.say_json({"removed": there})
    else:
        streams.say("\n".join(f"Removed {path}." for path in there) or "No service is installed.")
    return 0
