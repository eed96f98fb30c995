"""What the words of `maestro export` mean."""

from __future__ import annotations

import pytest

from maestro_cli.archive import export_run
from maestro_clients.exports.collecting import ExportQuery
from maestro_schemas.errors import MaestroError


@pytest.mark.parametrize(
    ("words", "own", "meant"),
    [
        ([], None, ExportQuery()),
        (["thread", "msg_1"], None, ExportQuery(thread="msg_1")),
        (["group", "@docs"], None, ExportQuery(peer="@docs")),
        (["group", "docs"], "s_ann", ExportQuery(peer="@docs")),
        (["session", "ann"], None, ExportQuery(session="ann")),
        (["with", "ann", "ben"], None, ExportQuery(session="ann", peer="ben")),
        (["with", "ben"], None, ExportQuery(session="operator", peer="ben")),
        (["with", "ben"], "s_ann", ExportQuery(peer="ben")),
        (["with", "s_ann", "ben"], "s_ann", ExportQuery(peer="ben")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_the_words(words: list[str], own: str | None, meant: ExportQuery) -> None:
    assert export_run.query_of(words, None, own) == meant


def test_a_query_stands_alone_or_beside_a_session() -> None:
    assert export_run.query_of([], "cart", None) == ExportQuery(query="cart")
    assert export_run.query_of(["session", "ann"], "cart", None) == ExportQuery(query="cart", session="ann")
    with pytest.raises(MaestroError) as raised:
        export_run.query_of(["thread", "msg_1"], "cart", None)
    assert raised.value.hint == "Write it into the query: thread:msg_1"


@pytest.mark.parametrize(
    ("words", "said", "hint"),
    [
        (["thread"], "takes one name, and got 0", "maestro export thread ID"),
        (["thread", "a", "b"], "takes one name, and got 2", "maestro export thread ID"),
        (["with"], "takes one or two names, and got 0", "maestro export with A [B]"),
        (["group", ""], "takes one name", "maestro export group NAME"),
        (["sesion", "ann"], "'sesion' is not what `export` takes", "Did you mean `export session`?"),
        (["msg_1"], "'msg_1'", "maestro export thread msg_1"),
        (["@docs"], "'@docs'", "maestro export group docs"),
        (["ann"], "'ann'", "Write `thread ID`"),
        (["--"], "'--'", "Write `thread ID`"),
    ],
)
def test_other_words(words: list[str], said: str, hint: str) -> None:
    with pytest.raises(MaestroError) as raised:
        export_run.query_of(words, None, None)
    assert raised.value.code == "INVALID"
    assert said in raised.value.message
    assert hint in raised.value.hint
