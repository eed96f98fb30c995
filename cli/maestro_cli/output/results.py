"""Results: the results of a request about several messages.

Rule: each has its own result. A command reports what was done and each error, and fails with the first error.
"""

from __future__ import annotations

from maestro_cli import exit_codes
from maestro_schemas.errors import MaestroError

from . import streams

TYPE_CHECKING = False  # `typing` costs more than this module
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from maestro_schemas.documents import ItemResultDoc


_DONE = "The change was made."


def failed(message_id: str, error: MaestroError) -> ItemResultDoc:
    """The result of a message about which no request could be made."""
    return {"id": message_id, "status": error.status, "error": error.body()}  # type: ignore[typeddict-item]


def report_results(results: Sequence[ItemResultDoc], sentence: Callable[[list[str]], str], *, as_json: bool) -> int:
    """Report the results as JSON; or by `sentence`, which gets the ids without an error, and a line for each error.
    Returns the exit code."""
    errors = [MaestroError.from_body(result["error"]) for result in results if "error" in result]
    done = [result["id"] for result in results if "error" not in result]
    if as_json:
        if errors:
            streams.complain(errors[0], as_json=True, extra={"results": results})
        else:
            streams.say_json({"results": results}, done=_DONE)
    else:
        if done:
            streams.tell(sentence(done), done=_DONE)
        for error in errors:
            streams.complain(error, as_json=False)
    return exit_codes.of(errors[0]) if errors else exit_codes.DONE
