"""A template's front matter and places: filled in once, and every mistake named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_cli.templates import template_text
from maestro_cli.templates.template_text import Template
from maestro_schemas.errors import MaestroError


def parsed(raw: str) -> Template:
    return template_text.parsed("t", "/t.md", "project", raw)


def refused(raw: str) -> MaestroError:
    with pytest.raises(MaestroError) as raised:
        parsed(raw)
    assert raised.value.code == "INVALID"
    return raised.value


def test_a_file_without_front_matter_is_all_text() -> None:
    found = parsed("\nHello {{who}}, {{ who }} and {{two_2}}.\n\n")
    assert (found.fields, found.text) == ({}, "Hello {{who}}, {{ who }} and {{two_2}}.")
    assert found.places == ["who", "two_2"]


def test_front_matter() -> None:
    raw = '\ufeff---\r\n# ours\r\ntype: request\n\npriority: "high"\ntask: {{id}}\n---\n\n---\nText\n'
    found = parsed(raw)
    assert found.fields == {"type": "request", "priority": "high", "task": "{{id}}"}
    assert found.text == "---\nText"
    assert found.title() == "---"
    filled = template_text.filled(found, {"id": "task_7"})
    assert filled.word("task") == "task_7"
    assert filled.word("to") is None


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ("---\ntyp: request\n---\n", "/t.md line 2: 'typ' is no field"),
        ("---\nrequest\n---\n", "/t.md line 2: the front matter has no colon"),
        ("---\nto: a\nto: b\n---\n", "line 3: `to` is there twice"),
        ("---\nto: a\n", "line 1: the front matter has no end"),
    ],
)
def test_front_matter_with_an_error_names_its_line(raw: str, said: str) -> None:
    assert said in refused(raw).message


def test_a_field_that_is_nearly_right_is_guessed() -> None:
    assert "Did you mean requireAck?" in refused("---\nrequireack: true\n---\n").hint
    assert "Did you mean" not in refused("---\nzzz: true\n---\n").hint


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ("priority: urgent", "`priority: urgent`: it is one of low, medium, high"),
        ("type: {{kind}}", "`type: rant`: it is one of request"),
        ("requireAck: yes", "it is one of true, false"),
    ],
)
def test_a_word_that_is_not_allowed(fields: str, said: str) -> None:
    found = parsed(f"---\n{fields}\n---\nx")
    with pytest.raises(MaestroError) as raised:
        template_text.filled(found, {"kind": "rant"} if "kind" in fields else {})
    assert said in raised.value.message
    assert raised.value.hint == "Correct it in /t.md."
    with pytest.raises(MaestroError) as raised:
        template_text.filled(found._replace(path=""), {"kind": "rant"} if "kind" in fields else {})
    assert raised.value.hint == "Give another value with --set."


def test_places_without_a_value_and_values_without_a_place() -> None:
    found = parsed("{{branch}} of {{pr}}")
    with pytest.raises(MaestroError) as raised:
        template_text.filled(found, {"brnch": "x"})
    error = raised.value
    assert error.code == "INVALID"
    assert error.message == (
        "the template 't' needs a value for branch, pr and has no place for brnch (did you mean branch?)"
    )
    assert error.hint == "Its places: --set branch=… --set pr=…"
    assert error.details == {"places": ["branch", "pr"], "missing": ["branch", "pr"], "unknown": ["brnch"]}
    with pytest.raises(MaestroError) as raised:
        template_text.filled(parsed("no places"), {"a": "b"})
    assert raised.value.hint == "It takes no --set."


@given(st.text(max_size=40), st.text(max_size=40))
def test_a_value_is_never_searched_again(first: str, second: str) -> None:
    found = parsed("<{{a}}><{{b}}>")
    for one, two in ((first, second), ("{{b}}", second), ("{{a}}", "{{a}}{{b}}"), (r"\1\g<0>", first)):
        assert template_text.filled(found, {"a": one, "b": two}).text == f"<{one}><{two}>"


def test_what_is_no_place_stays() -> None:
    text = "${{ secrets.X }} {{}} {{1a}} {{a b}} { {a} } {{{{"
    assert parsed(text).places == []
    assert template_text.filled(parsed(text), {}).text == text


def test_the_options_of_set() -> None:
    assert template_text.given(["a=1", "b-c=x=y", "d="]) == {"a": "1", "b-c": "x=y", "d": ""}
    for wrong in ("a", "=1", "1a=2", "a b=1"):
        with pytest.raises(MaestroError, match="NAME=VALUE"):
            template_text.given([wrong])
    with pytest.raises(MaestroError, match="given twice"):
        template_text.given(["a=1", "a=2"])


def test_a_template_without_text_has_no_title() -> None:
    assert parsed("").title() == ""
