"""Outcomes: the results of a request about several things.

Rule: they are judged one by one; a command that names them fails with the first that failed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from maestro_schemas.documents import ItemResultDoc


def raise_first(results: Iterable[ItemResultDoc]) -> None:
    """Raise the MaestroError of the first result that has one."""
    for result in results:
        if "error" in result:
            raise MaestroError.from_body(result["error"])
