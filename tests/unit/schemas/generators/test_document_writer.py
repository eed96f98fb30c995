"""Document writer: the source text of the TypedDicts, from the types of the Structs."""

from __future__ import annotations

import typing
from typing import Annotated, Any, Literal

import msgspec
import pytest

from maestro_schemas import documents, messages
from maestro_schemas.generators import document_writer


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (int, "int"),
        (Any, "Any"),
        (Literal["a", "b"], "str"),
        (Literal[1], "int"),
        (str | None, "str"),
        (str | msgspec.UnsetType, "str"),
        (int | str | None, "int | str"),
        (Annotated[str, msgspec.Meta(description="x")], "str"),
        (tuple[str, ...], "list[str]"),
        (list[messages.Message], "list[MessageDoc]"),
        (dict[str, Any], "dict[str, Any]"),
        (messages.Failure, "FailureDoc"),
    ],
    ids=str,
)
def test_a_type_as_clients_write_it(kind: Any, text: str) -> None:
    assert document_writer.type_text("Doc.field", kind) == text


def test_an_error_is_a_document_although_the_broker_writes_a_map() -> None:
    assert document_writer.type_text("Doc.error", dict[str, Any]) == "ErrorDoc"


def test_the_text_is_python_with_each_document_once() -> None:
    space: dict[str, Any] = {}
    exec(compile(document_writer.render(), "documents.py", "exec"), space)
    found = [name for name in space if name.endswith("Doc")]
    assert found == list(document_writer.DOCUMENTS)
    assert typing.get_type_hints(space["HelloDoc"]) == typing.get_type_hints(documents.HelloDoc)
