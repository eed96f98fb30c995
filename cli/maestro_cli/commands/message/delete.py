"""`maestro message delete`: delete messages from the inbox, for good.

Rule: the receiver or the operator deletes; the sender can still see that the message was deleted.
"""

from __future__ import annotations

from maestro_cli.addressing.message_ids import resolve_all
from maestro_cli.context import CommandContext
from maestro_cli.output.results import failed, report_results
from maestro_schemas.errors import MaestroError
from maestro_schemas.names import OPERATOR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from maestro_cli.options import AsOption, Option, YesOption
    from maestro_clients.one_shot_client import AnyClient
    from maestro_schemas.documents import ItemResultDoc

USAGE = "maestro message delete ID... [OPTIONS]"
DETAILS = """\
Examples:
  maestro message delete k3v9
  maestro message delete k3v9 --json"""


def run(
    *message_ids: Annotated[str, Option(name="ID", help="The messages' ids; one or more.")],
    speaks_as: AsOption = None,
    yes: YesOption = False,
    as_json: Annotated[bool, Option(name="--json", help='Print {"results": [...]} as JSON.')] = False,
) -> int:
    """Delete messages."""
    from maestro_cli.arguments import at_least_one

    at_least_one("ID", message_ids)
    context = CommandContext.here(speaks_as, sure=yes)
    with context.client() as client:
        # Nothing is deleted that was not shown.
        ids = resolve_all(client, message_ids, for_reply=True)
        # The operator may delete what others received, too.
        if context.own_session and context.own_session != OPERATOR:
            results = client.delete(ids)
        else:
            results = [result for message_id in ids for result in _deleted_by_operator(client, message_id)]
    return report_results(results, _sentence, as_json=as_json)


def _sentence(done: list[str]) -> str:
    from maestro_clients.texts.short_ids import ShortIds

    return f"Deleted {', '.join(map(ShortIds(done).of, done))}."


def _deleted_by_operator(client: AnyClient, message_id: str) -> list[ItemResultDoc]:
    try:
        return client.delete([message_id], session=client.message(message_id)["to"])
    except MaestroError as error:
        if error.kind != "client":
            raise
        return [failed(message_id, error)]
