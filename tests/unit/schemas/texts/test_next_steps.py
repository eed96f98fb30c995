"""Next steps: each error that the source makes has a step that is fit for who reads it."""

from __future__ import annotations

import re
import traceback

import pytest

from maestro_clients.mcp import tool_texts
from maestro_gateway.http.error_docs import REMEDIES
from maestro_gateway.http.responses import hint_of
from maestro_schemas.errors import CODES, OPERATOR_MAY, START_A_SESSION, MaestroError
from maestro_schemas.texts import next_steps
from support.error_places import COMMAND_LINE, GATEWAY, OF_REQUESTS, ErrorPlace, error_places

# What is of no use to each reader.
TO_HTTP = re.compile(r"\bmaestro [a-z]|`maestro|MAESTRO_[A-Z]|\beval\b|\$\(|(^|[\s`(])--[a-z]|\bthis shell\b")
TO_AGENT = re.compile(
    r"\beval\b|--export\b|unset MAESTRO_SESSION|in a shell without|shell that stays"
    r"|--as operator|^Set MAESTRO_SESSION",
    re.IGNORECASE,
)
TO_PYTHON = re.compile(r"\beval\b|--export\b|\bunset\b|(^|[\s`(])--[a-z]|MAESTRO_SESSION|X-Session-ID|\b(GET|POST) /")
TO_MODEL = re.compile(
    r"\beval\b|--export\b|unset MAESTRO_SESSION|shell that stays open|--as operator|X-Session-ID|Caller\("
)
# The steps of a start of a process, or of a repair of its files, are for the person at the machine, who has a shell.
AT_THE_MACHINE = {code for code, (_, _, kind) in CODES.items() if kind == "fatal"} | {
    "BAD_SETTING",
    "KEY_FILE_UNUSABLE",
    "DATA_DIR_LOCKED",
    "KEY_REVOKED",
    "UNSUPPORTED_PROTOCOL",
    "BAD_REQUEST",
}
OF_A_REQUEST = error_places(OF_REQUESTS)


def made(place: ErrorPlace) -> MaestroError:
    return MaestroError(place.code, "what happened", place.hint, http_hint=place.http_hint)


def test_the_walk_finds_what_it_looks_for() -> None:
    assert len(OF_A_REQUEST) > 200
    assert sum(START_A_SESSION in place.hint for place in OF_A_REQUEST) > 4
    assert any(TO_AGENT.search(place.hint) for place in OF_A_REQUEST)
    assert any(TO_PYTHON.search(place.hint) for place in OF_A_REQUEST)


def test_every_error_says_what_to_do() -> None:
    silent = {place.where for place in error_places(OF_REQUESTS, GATEWAY, COMMAND_LINE) if not place.hint}
    assert {where.partition(":")[0] for where in silent} == {
        file for files in WITHOUT_A_STEP.values() for file in files
    }


def test_no_step_of_http_is_a_command() -> None:
    """But for the person at the gateway's machine, where it says so."""
    for place in error_places(OF_REQUESTS, GATEWAY):
        step = hint_of(made(place))
        said_so = re.search(r"on (the|that|its) (broker's |gateway's )?machine", step)
        assert said_so or not TO_HTTP.search(step), f"{place.where}: {step}"


def test_no_step_of_an_agent_needs_a_shell_that_stays() -> None:
    for place in error_places(OF_REQUESTS, COMMAND_LINE):
        step = next_steps.of_agent(made(place))
        for sentence in step.split(". "):
            assert not TO_AGENT.search(sentence), f"{place.where}: {step}"


def test_no_step_of_python_is_an_option_or_a_variable() -> None:
    for place in OF_A_REQUEST:
        if place.code not in AT_THE_MACHINE and not place.where.startswith("broker/maestro_broker/files"):
            step = next_steps.in_python(made(place))
            assert not TO_PYTHON.search(step), f"{place.where} {place.code}: {step}"


def test_no_step_of_a_model_is_another_caller_s() -> None:
    for place in OF_A_REQUEST:
        text = tool_texts.failed(made(place)).text
        assert not TO_MODEL.search(text), f"{place.where}: {text}"


def test_each_table_has_codes_and_sentences_of_its_reader() -> None:
    for steps, foreign in ((next_steps.STEPS_OF_AGENTS, TO_AGENT), (next_steps.STEPS_IN_PYTHON, TO_PYTHON)):
        assert steps.keys() <= CODES.keys()
        for code, step in steps.items():
            assert step[0].isupper() or step.startswith(("client.", "connect", "`")), code
            assert step.endswith("."), code
            assert not foreign.search(step), code
    for code, remedy in REMEDIES.items():
        assert not TO_HTTP.search(remedy.step), code


@pytest.mark.parametrize("code", ["NO_SESSION", "UNKNOWN_SESSION", "SESSION_ENDED"])
def test_how_to_get_a_session_for_each_caller(code: str) -> None:
    """Finding N-A14: `eval` was said to all."""
    error = MaestroError(code, "x", f"Kept. {START_A_SESSION}")
    assert "eval" in error.hint
    agent, python, http = next_steps.of_agent(error), next_steps.in_python(error), hint_of(error)
    assert {"Kept."} == {step.partition(" ")[0] for step in (agent, python, http)}
    assert ("start_session" in python or "Caller(" in python, "X-Session-ID" in http or "POST" in http) == (
        True,
        True,
    )
    assert "eval" not in agent + python + http


def test_an_agent_is_never_shown_the_way_to_the_operator() -> None:
    error = MaestroError("FORBIDDEN", "x", f"A mailbox is its owner's. {OPERATOR_MAY}")
    assert next_steps.of_agent(error) == "A mailbox is its owner's. That is for the person alone: ask your user."


def test_a_step_that_fits_stays_as_it_is() -> None:
    error = MaestroError("NO_SESSION", "x", "Try again.")
    assert {next_steps.of_agent(error), next_steps.in_python(error)} == {"Try again."}
    repair = MaestroError("CORRUPT", "x", "Look with `maestro spool verify`.")
    assert {next_steps.of_agent(repair), next_steps.in_python(repair)} == {repair.hint}


def test_a_traceback_ends_with_the_step_for_the_author() -> None:
    error = MaestroError("NO_SESSION", "no session was named", START_A_SESSION)
    error.add_note("while the mail was read")
    lines = "".join(traceback.format_exception(error)).splitlines()
    assert lines[0].endswith("MaestroError: no session was named")
    assert lines[1] == "while the mail was read"
    assert lines[2].startswith("next: Name it: connect(..., caller=Caller(ID, TOKEN))")
    assert "next:" not in "".join(traceback.format_exception(MaestroError("BUSY", "x")))


# Files that make errors without a step, by the reason.
WITHOUT_A_STEP = {
    "its caller makes it one with the file's path and the repair": [
        "broker/maestro_broker/core/model/checkpoint.py",
        "broker/maestro_broker/core/model/records.py",
        "broker/maestro_broker/views/timeline.py",
        "schemas/maestro_schemas/outbox_entry.py",
        "cli/maestro_cli/hooks/files/reading_rules.py",
        "cli/maestro_cli/hooks/json_editor.py",
        "cli/maestro_cli/hooks/mcp/mcp_entries.py",
        "cli/maestro_cli/hooks/settings_entries.py",
    ],
    "a hook logs it, and no person asked for anything": [
        "cli/maestro_cli/hooks/agent_session.py",
        "cli/maestro_cli/hooks/payload.py",
    ],
    "a fault of ours, or only its code and status are used": [
        "broker/maestro_broker/core/sending/acceptance.py",
        "broker/maestro_broker/core/sending/repeats.py",
        "broker/maestro_broker/server/message_loader.py",
        "clients/maestro_gateway/app.py",
        "clients/maestro_gateway/docs/openapi.py",
    ],
}
