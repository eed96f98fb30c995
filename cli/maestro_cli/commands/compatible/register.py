"""`maestro session register`: start this shell's session under the id that Maestro gave it, or say that it works."""

from __future__ import annotations

from maestro_cli.context import CommandContext

from . import own_session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from maestro_cli.options import Option

DETAILS = """\
A compatible name: Maestro's hooks call it when an agent starts. It takes the
session from MAESTRO_SESSION_ID, MAESTRO_PROJECT_ID, MAESTRO_TASK_IDS, and
MAESTRO_MODE or MAESTRO_ROLE, and its name from the project's directory. It
prints nothing without --json. A person uses `maestro session start`.

Examples:
  maestro session register
  maestro session register --json"""


def run(
    *,
    as_json: Annotated[bool, Option(name="--json", help="Print the session as JSON.")] = False,
) -> int:
    """Register this shell's session."""
    from maestro_clients.processes import project_names
    from maestro_clients.protocol.documented_words import ROLES
    from maestro_runtime import places

    context = CommandContext.here()
    context.session()
    environ = context.environ
    mode = environ.get("MAESTRO_MODE") or environ.get("MAESTRO_ROLE") or "worker"
    with context.client() as client:
        session = own_session.working(
            context,
            client,
            name_base=project_names.name_base(places.current_directory(), environ, mode),
            role=ROLES.get(mode, "worker"),
            project_id=environ.get("MAESTRO_PROJECT_ID") or None,
            task_ids=[word for word in environ.get("MAESTRO_TASK_IDS", "").split(",") if word],
            metadata={"mode": mode},
        )
    return own_session.report(session, as_json=as_json)
