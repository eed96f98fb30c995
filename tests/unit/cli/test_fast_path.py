"""The fast path's parser: it passes to a command exactly what cyclopts would pass, or leaves it to cyclopts."""

from __future__ import annotations

from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING, Any

import pytest
from cyclopts import App, CycloptsError
from hypothesis import given, settings
from hypothesis import strategies as st

from maestro_cli import command_table, fast_path, fast_table, fast_table_writer
from maestro_cli.help import command_rows
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from collections.abc import Sequence

APP = command_table.build()


def by_cyclopts(tokens: Sequence[str], app: App = APP) -> dict[str, Any] | None:
    """The arguments of the function that cyclopts would call; None where it calls no command's function."""
    try:
        function, bound, ignored = app.parse_args(
            fast_path.text_joined(tokens), exit_on_error=False, print_error=False
        )
    except CycloptsError:
        return None
    if not function.__module__.startswith("maestro_cli.commands."):
        return None
    assert not ignored
    bound.apply_defaults()
    return {"module": function.__module__, **bound.arguments}


def by_fast_path(tokens: Sequence[str]) -> dict[str, Any] | None:
    command = fast_path.parse(tokens)
    if command is None:
        return None
    module = import_module(f"maestro_cli.commands.{command.module}")
    bound = signature(module.run).bind(*command.positional, **command.options)
    bound.apply_defaults()
    return {"module": module.__name__, **bound.arguments}


def test_the_table_is_what_the_declarations_say() -> None:
    with open(fast_table_writer.PATH, encoding="utf-8") as file:
        assert file.read() == fast_table_writer.text(), "run `just schemas`"


def test_every_command_but_the_hooks_own_is_in_the_table() -> None:
    paths = {path for path, _ in command_rows.every_command()}
    assert paths - fast_table.COMMANDS.keys() == {("hooks", "run")}


WELL_FORMED = [
    ["send", "--message", "x"],
    ["send", "--template", "review", "--set", "pr=1", "--set", "x=-2"],
    ["status"],
    ["status", "--json"],
    ["inbox", "-q"],
    ["inbox", "--quiet", "--json", "--mark-read"],
    ["inbox", "--limit", "10"],
    ["inbox", "--limit=1"],
    ["inbox", "-n", "3", "--watch", "--exec", "-x"],
    ["send", "--to", "bob", "--message", "x"],
    ["send", "--to", "bob", "--to", "bob", "-t", "@workers", "--message", "x", "--yes"],
    ["send", "--to", "bob", "--message", "x", "--wait-reply", "--replies", "2"],
    ["message", "retry", "msg_1", "--yes"],
    ["send", "-t", "bob", "-m", "--help"],
    ["send", "-t", "bob", "-m", "--"],
    ["send", "-t", "bob", "-m", ""],
    ["send", "-t", "b ob", "--message=--json"],
    ["send", "-t", "bob", "-m", "a=b", "--priority", "high", "--require-ack", "--type=request"],
    ["send", "-t", "bob", "-f", "-", "--timeout", "5m", "--wait", "read"],
    ["session", "send", "--to", "bób", "--data", "-1", "--on-ended", "queue"],
    ["session", "list"],
    ["session", "list", "--all", "--project", "shop"],
    ["session", "start", "--task", "a", "--task", "b", "--role", "orchestrator"],
    ["session", "end"],
    ["session", "end", "sess_1", "--status", "failed"],
    ["message", "show", "msg_1"],
    ["message", "show", "--json", "msg_1"],
    ["message", "read", "msg_1", "msg_2", "--json", "msg_3"],
    ["message", "read"],
    ["message", "reply", "msg_1", "--message", "x"],
    ["message", "retry", "msg_1", "-t", "carol"],
    ["send"],
    ["send", "bob"],
    ["send", "bob", "hello"],
    ["send", "bob", "-"],
    ["send", "@workers", "Stop, main is red.", "--priority", "high", "--yes"],
    ["send", "--to", "bob", "hello"],
    ["send", "--json", "bob", "two words", "--type", "request"],
    ["session", "send", "bob", "- one\n- two"],
    ["send", "bob", "--json is a word", "--json"],
    ["reply", "last", "--to be sure"],
    ["reply", "k3v9", "Done.", "--attach", "log.txt"],
    ["message", "reply", "last", ""],
    ["read"],
    ["read", "last", "k3v9"],
    ["up", "--no-http", "--set", "a=b", "--set=c=d"],
    ["config", "show", "retention", "http.port"],
    ["completion", "bash", "--install"],
    ["keys", "new", "laptop"],
]


@pytest.mark.parametrize("tokens", WELL_FORMED, ids=" ".join)
def test_what_is_well_formed_is_parsed(tokens: list[str]) -> None:
    parsed = by_fast_path(tokens)
    assert parsed is not None
    assert parsed == by_cyclopts(tokens)


LEFT_TO_CYCLOPTS = [
    [],
    ["help"],
    ["help", "inbox"],
    ["--version"],
    ["sesion"],
    ["session"],
    ["session list"],
    ["session", "list", "extra"],
    ["inbox", "--help"],
    ["inbox", "-h"],
    ["inbox", "--wach"],
    ["inbox", "-q", "--quiet"],
    ["inbox", "-qw"],
    ["inbox", "--quiet=true"],
    ["inbox", "--limit"],
    ["inbox", "--limit", "many"],
    ["inbox", "--limit=0"],
    ["inbox", "--limit", "1000001"],
    ["inbox", "--limit", "-1"],
    ["inbox", "--limit", "1.5"],
    ["inbox", "--limit", "1e2"],
    ["inbox", "--limit", "9" * 19],
    ["inbox", "--limit", "007"],
    ["inbox", "--limit", "1_0"],
    ["inbox", "--limit", "٣"],
    ["send", "--to", "bob", "--message"],
    ["send", "--to", "-b", "--message", "x"],
    ["send", "--to", "bob", "--id", "m1", "--id", "m1", "--message", "x"],
    ["send", "bob", "fix", "the build"],
    ["send", "bob", "-x"],
    ["send", "bob", "--mesage", "x"],
    ["send", "bob", "--", "-x"],
    ["reply"],
    ["reply", "last", "fine", "thanks"],
    ["send", "-tbob", "-m", "x"],
    ["send", "--to", "bob", "--message", "x", "--priority", "urgent"],
    ["send", "--to", "bob", "--message", "x", "--priority", "HIGH"],
    ["send", "--", "--to", "bob"],
    ["message", "show"],
    ["message", "show", "a", "b"],
    ["message", "show", "-x"],
    ["hooks", "run", "codex", "Stop"],
    ["completion", "tcsh"],
]


@pytest.mark.parametrize("tokens", LEFT_TO_CYCLOPTS, ids=" ".join)
def test_other_shapes_are_left_to_cyclopts(tokens: list[str]) -> None:
    assert fast_path.parse(tokens) is None


WORDS = [
    "x",
    "msg_1",
    "high",
    "delivered",
    "1",
    "0",
    "30s",
    "",
    "-",
    "--",
    "- a",
    "--help me",
    "-x",
    "a=b",
    "--help",
    "-h",
    "--version",
    "--json",
    "none",
    "ü",
]


@st.composite
def vectors(draw: st.DrawFn) -> list[str]:
    """A command, and arguments that mostly fit it."""
    path = draw(st.sampled_from(sorted(fast_table.COMMANDS)))
    _, positional, required, options = fast_table.COMMANDS[path]
    words = st.sampled_from(WORDS)
    spellings = st.sampled_from([*sorted(options), "--unknown"])
    tokens: list[str] = []
    needed = [spelling for spelling, (name, _) in options.items() if name in required][:1]
    if draw(st.booleans()):
        tokens += [part for spelling in needed for part in (spelling, draw(words))]
    for _ in range(draw(st.integers(0, 4))):
        shape = draw(st.sampled_from(["positional", "switch", "option", "equals"]))
        spelling = draw(spellings)
        kind = options.get(spelling, ("", "text"))[1]
        value = draw(st.sampled_from(kind)) if isinstance(kind, tuple) and draw(st.booleans()) else draw(words)
        if shape == "positional":
            tokens += [draw(words)] if len(positional) > 0 or draw(st.booleans()) else []
        elif shape == "switch" or kind in ("on", "off"):
            tokens.append(spelling)
        else:
            tokens += [f"{spelling}={value}"] if shape == "equals" else [spelling, value]
    return [*path, *tokens]


@settings(max_examples=400, deadline=None)
@given(vectors())
def test_any_vector_is_parsed_alike_or_left_to_cyclopts(tokens: list[str]) -> None:
    parsed = by_fast_path(tokens)
    if parsed is not None:
        assert parsed == by_cyclopts(tokens)


def test_the_declared_options_are_shared_by_both() -> None:
    """A spelling that only cyclopts knows would never be fast; one that only the table knows would be a way around
    cyclopts."""
    for path, declared in fast_table.COMMANDS.items():
        app = APP
        for word in path:
            app = app[word]
        collection = app.assemble_argument_collection()
        names = {name for one in collection for name in one.parameter.name or () if name.startswith("-")}
        spellings = {spelling for spelling, (_, kind) in declared[3].items() if kind != "off"}
        assert spellings == names, path


@pytest.mark.parametrize("value", ["banana", "2", "offf"])
def test_another_word_is_refused(value: str) -> None:
    with pytest.raises(MaestroError, match="MAESTRO_QUICK can't be") as caught:
        fast_path.is_on({"MAESTRO_QUICK": value})
    assert caught.value.code == "BAD_SETTING"


@pytest.mark.parametrize("value", ["0", "off", "False", " no "])
def test_a_variable_turns_it_off(value: str) -> None:
    assert fast_path.is_on({})
    assert fast_path.is_on({"MAESTRO_QUICK": "1"})
    assert not fast_path.is_on({"MAESTRO_QUICK": value})


FREE_TEXTS = [
    (path, spelling)
    for path, (_, _, _, options) in sorted(fast_table.COMMANDS.items())
    for spelling, (_, kind) in options.items()
    if kind == "any"
]


def test_the_options_of_free_text() -> None:
    assert {spelling for _, spelling in FREE_TEXTS} == {
        "--message", "-m", "--file", "-f", "--data", "--exec", "--subject", "--detail", "--query",
    }  # fmt: skip


@pytest.mark.parametrize("value", ["--help", "-h", "--version", "--", "--json", "-x", "-", ""])
@pytest.mark.parametrize(("path", "spelling"), FREE_TEXTS, ids=str)
def test_a_text_that_looks_like_an_option_is_a_text(path: tuple[str, ...], spelling: str, value: str) -> None:
    """By both parsers, before and behind the other arguments."""
    _, positional, required, options = fast_table.COMMANDS[path]
    name = options[spelling][0]
    needed = [
        [one, kind[0] if isinstance(kind, tuple) else "x"]
        for one, (parameter, kind) in options.items()
        if parameter in required and parameter != name and one.startswith("--")
    ]
    others = [word for pair in needed for word in pair] + ["msg_1"] * len(positional)
    for tokens in ([*path, spelling, value, *others], [*path, *others, spelling, value]):
        parsed = by_fast_path(tokens)
        assert parsed is not None
        assert parsed[name] == value
        assert parsed == by_cyclopts(tokens)


def test_free_text_is_one_token_for_cyclopts() -> None:
    assert fast_path.text_joined(["send", "-t", "x", "-m", "--help"]) == ["send", "-t", "x", "-m=--help"]
    assert fast_path.text_joined(["message", "reply", "x", "--file", "-"]) == [
        "message", "reply", "--file=-", "--", "x",
    ]  # fmt: skip
    assert fast_path.text_joined(["send", "-m"]) == ["send", "-m"]
    assert fast_path.text_joined(["session", "list", "-m", "--help"]) == ["session", "list", "-m", "--help"]
