"""Results: the results of a request about several messages.

Rule: each has its own result. A command fails with the first error, and reports all.
"""

from __future__ import annotations

from maestro_cli import exit_codes
from maestro_schemas.errors import MaestroError

from . import streams

TYPE_CHECKING = False  # `typing` costs more than this module
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from maestro_schemas.documents import ItemResultDoc


def first_error(results: Iterable[ItemResultDoc]) -> MaestroError | None:
    """The error of the first result that has one."""
    return next((MaestroError.from_body(result["error"]) for result in results if "error" in result), None)


def report_results(results: Sequence[ItemResultDoc], sentence: str, *, as_json: bool) -> int:
    """Report the results as JSON, or by `sentence` if there is no error; returns the exit code."""
    error = first_error(results)
    if error is not None:
        streams.complain(error, as_json=as_json, extra={"results": results})
        return exit_codes.of(error)
    streams.say(streams.json_line({"results": results}) if as_json else sentence)
    return exit_codes.DONE
