"""Error places: where the source makes an error, with the words that are written there."""

from __future__ import annotations

import ast
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from maestro_schemas import errors

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).parents[2]
# Errors of these packages can be the answer to a request of any client.
OF_REQUESTS = ("broker/maestro_broker", "clients/maestro_clients", "schemas/maestro_schemas")
GATEWAY = ("clients/maestro_gateway",)
COMMAND_LINE = ("cli/maestro_cli",)


class ErrorPlace(NamedTuple):
    """One error in the source; a value that is filled in is `0`, and each alternative is a place of its own."""

    where: str
    code: str
    message: str
    hint: str
    http_hint: str


def error_places(*sources: Iterable[str]) -> list[ErrorPlace]:
    """Every call of MaestroError below these folders."""
    found = []
    for source in (folder for folders in sources for folder in folders):
        for path in sorted((ROOT / source).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "MaestroError" and node.args:
                    where = f"{path.relative_to(ROOT)}:{node.lineno}"
                    found += [ErrorPlace(where, *words) for words in _words(node)]
    return found


def _words(call: ast.Call) -> Iterable[tuple[str, str, str, str]]:
    named = {keyword.arg: keyword.value for keyword in call.keywords}
    parts = [*call.args[:3], *[ast.Constant("")] * (3 - len(call.args))]
    parts.append(named.get("http_hint", ast.Constant("")))
    return product(*map(_texts, parts))  # type: ignore[return-value]


def _texts(node: ast.expr) -> list[str]:
    """The texts that an expression can be."""
    if isinstance(node, ast.Constant):
        return [str(node.value)]
    if isinstance(node, ast.JoinedStr):
        return ["".join(parts) for parts in product(*map(_texts, node.values))]
    if isinstance(node, ast.FormattedValue):
        return _texts(node.value) if isinstance(node.value, ast.Name | ast.IfExp) else ["0"]
    if isinstance(node, ast.BinOp):
        return ["".join(parts) for parts in product(_texts(node.left), _texts(node.right))]
    if isinstance(node, ast.IfExp):
        return [*_texts(node.body), *_texts(node.orelse)]
    if isinstance(node, ast.Name):
        # A sentence that several errors share.
        return [str(getattr(errors, node.id, "0"))]
    return ["0"]
