"""Findings: what was tried as a new user and did not hold, each with the test that holds it now.

The numbers are those of the notes that were taken; a row without one is named by what was said. Here are also the
tests of words that no other file has: errors for an agent, and wrong inputs of everyday commands.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from maestro_cli import exit_codes
from support.cli_shell import Shell

TESTS = Path(__file__).parents[2]
# "Said installed or ok, and it is not", then "words".
HELD = {
    "F7 no HOME": "contract/cli/test_user_files.py::test_without_a_home_nothing_is_written",
    "F8 root in a user's HOME": "contract/cli/test_user_files.py::test_what_root_rewrites_keeps_owner_group_and_mode",
    "F11, N-A9 hooks that are switched off": "contract/hooks/test_installed_and_running.py::"
    "test_a_switch_is_said_by_install_and_doctor",
    "F12 a noexec mount": "contract/hooks/test_installed_and_running.py::"
    "test_hooks_run_from_a_file_system_without_execution",
    "F18 umask 000": "contract/cli/test_user_files.py::test_with_any_umask_whatever_is_made_is_the_user_s_alone",
    "N-A8 HOME unusable": "contract/cli/test_user_files.py::test_doctor_calls_an_unusable_home_failed",
    "N-A10 maestro not on PATH": "contract/cli/test_user_files.py::test_doctor_says_that_path_has_no_command",
    "N-A10 the repair": "contract/cli/test_doctor_fix.py::test_it_is_repaired_once_and_no_mail_is_lost",
    "N-A11 what an installation leaves": "contract/cli/test_setup.py::test_after_both_the_home_is_what_it_was",
    "N-A11 the hooks of every project": "contract/cli/test_setup.py::"
    "test_hooks_of_every_project_and_of_other_folders_go",
    "N-A12 the settings that a team commits": "contract/hooks/test_installed_and_running.py::"
    "test_a_project_s_hooks_are_in_its_local_settings",
    "F2 a value like an option": "contract/cli/test_words.py::test_a_text_that_looks_like_an_option_is_sent",
    "N-B5 an agent learns who it is": "contract/hooks/test_run.py::"
    "test_at_the_start_the_agent_sees_waiting_mail_and_its_session_is_updated",
    "N-B5 in few words": "unit/cli/hooks/test_context_text.py::"
    "test_the_introduction_is_short_and_holds_no_sentence_of_others",
    "N-A13 a shell's words over HTTP": "contract/gateway/test_words.py::test_the_hint_of_a_refusal",
    "N-A13 an enum's values": "contract/gateway/test_words.py::test_a_value_that_is_not_allowed",
    "N-A14 eval for an agent": "contract/cli/test_findings.py::"
    "test_an_agent_is_not_shown_what_needs_a_shell_that_stays",
    "N-A14 for each caller": "unit/schemas/texts/test_next_steps.py::test_how_to_get_a_session_for_each_caller",
    "N-A17 who is here": "contract/cli/test_words.py::test_an_unknown_receiver_is_answered_with_who_is_here",
    "N-A17 guesses only when near": "unit/schemas/texts/test_near_words.py::test_a_far_fetched_guess_is_not_made",
    "MAESTRO_PENDING_MAX": "contract/cli/test_words.py::test_the_error_of_a_setting_states_what_is_allowed",
    "inbox --clear": "contract/cli/test_words.py::test_a_deleted_message_gets_no_command_to_answer_it",
    "--reply-to nothing": "contract/cli/test_words.py::test_an_answer_to_a_message_that_is_none_is_refused",
    "N-P9 spool export | head": "contract/cli/test_words.py::test_an_export_that_is_read_in_part",
}


@pytest.mark.parametrize("place", HELD.values(), ids=HELD.keys())
def test_each_finding_has_its_test(place: str) -> None:
    file, _, name = place.partition("::")
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    assert found, f"{place}: it was renamed or taken out"
    [test] = found
    skips = [ast.unparse(mark) for mark in test.decorator_list if "skip" in ast.unparse(mark)]
    assert not skips, "it runs everywhere"


def test_no_finding_is_left_out() -> None:
    numbers = {number for row in HELD for number in re.findall(r"\bF\d+|\bN-[A-Z]\d+", row)}
    said = {f"F{number}" for number in (2, 7, 8, 11, 12, 18)} | {f"N-A{number}" for number in (*range(8, 15), 17)}
    assert numbers == said | {"N-B5", "N-P9"}


# --- errors for the caller at hand --------------------------------------------------------------------------------

AGENT = {"CLAUDECODE": "1"}
LASTING = re.compile(r"\beval\b|--export|\bunset\b|shell that stays|in a shell without")


@pytest.mark.parametrize(
    ("arguments", "session", "code", "step"),
    [
        (["inbox"], {}, "NO_SESSION", "put the session before the command"),
        (["send", "--to", "ann", "-m", "x"], {}, "NO_SESSION", "MAESTRO_SESSION_ID=ID MAESTRO_SESSION_TOKEN=TOKEN"),
        (["inbox"], {"MAESTRO_SESSION_ID": "ghost"}, "UNKNOWN_SESSION", "Or ask your user to run `maestro hooks"),
        (["inbox"], {"MAESTRO_SESSION_ID": "ann"}, "TOKEN_REQUIRED", "MAESTRO_SESSION_TOKEN=TOKEN maestro"),
        (
            ["inbox"],
            {"MAESTRO_SESSION_ID": "ann", "MAESTRO_SESSION_TOKEN": "no"},
            "TOKEN_MISMATCH",
            "before the command",
        ),
        (["inbox", "--all", "--session", "ann"], {"MAESTRO_SESSION_ID": "bob"}, "FORBIDDEN", "ask your user"),
        (["session", "end", "ann"], {"MAESTRO_SESSION_ID": "bob"}, "FORBIDDEN", "ask your user"),
        (["message", "dead", "--session", "ann"], {"MAESTRO_SESSION_ID": "bob"}, "FORBIDDEN", "ask your user"),
    ],
)
def test_an_agent_is_not_shown_what_needs_a_shell_that_stays(
    shared_person: Shell, arguments: list[str], session: dict[str, str], code: str, step: str
) -> None:
    """Finding N-A14: the same for its words and for --json; a person's shell keeps the line that works there."""
    person = shared_person.anonymous()
    with person.client() as client:
        known = {each["id"] for each in client.sessions(active=True)}
        if "ann" not in known:
            client.start_session("ann", token="a-token")
        if "bob" not in known:
            client.start_session("bob")
    ran = person.like(**AGENT, **session).run(*arguments, "--json")
    error = ran.error()
    assert error["code"] == code
    assert step in error["hint"]
    assert not LASTING.search(error["hint"]), error["hint"]
    assert f"next: {error['hint']}" in ran.err
    if code == "UNKNOWN_SESSION":
        assert "eval" in person.like(**session).run(*arguments, "--json").error()["hint"]


# --- wrong inputs of everyday commands ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "what", "step"),
    [
        (["send", "bob", ""], "the message is empty", "Send some text"),
        (["send", "--to", "bob", "--file", "/tmp"], "/tmp can't be read: Is a directory", "--file"),
        (["send", "--to", "bob", "--file", ""], "'' can't be read", "--file"),
        (["send", "--to", "bob", "-m", "x", "--attach", "/tmp"], "/tmp is a directory", "Attach the files"),
        (["send", "--to", "bob", "-m", "x" * 10_001], "has 10,001 characters, and the limit is 10,000", "--attach"),
        (["send", "--to", "bob", "-m", "x", "--priority", "hihg"], "one of low, medium, high", "Did you mean high?"),
        (["send", "--to", "bob", "-m", "x", "--prioritty", "high"], "--prioritty", "Did you mean --priority?"),
        (["send", "--to", "bob", "-m", "x", "-m", "y"], "-m was given twice", "--help"),
        (["send", "--to", "bob", "-m", "x", "--wait", "read", "--timeout", ""], "'' is not a duration", "30s"),
        (
            ["send", "--to", "bob", "-m", "x", "--wait", "read", "--timeout", "0s"],
            "must be 1ms to 365d, not '0s'",
            "",
        ),
        (["send", "--to", "bob", "-m", "x", "--wait", "read", "--timeout", "-1"], "", ""),
        (["send", "--to", "bob", "-m", "x", "--ttl", "999999d"], "999999d", "from 1ms to 7d"),
        (["send", "--to", "bob", "-m", "x", "--id", "a b"], "can't be 'a b'", "1 to 64 of the characters"),
        (["send", "--to", "bob", "-m", "x", "--data", "{"], "--data is not JSON", "Quote it for the shell"),
        (
            ["send", "--to", "bob", "-m", "x", "--wait-reply", "--replies", "1000000000"],
            "must be 1 to 1,024, not",
            "",
        ),
        (["inbox", "--limit", "0"], "--limit must be 1 to 1,000,000, not 0", ""),
        (["session", "list", "--limit", "-1"], "--limit must be 1 to 1,000,000, not -1", ""),
        (["log", "--limit", "1000000000"], "--limit must be 1 to 1,000,000, not 1000000000", ""),
        (["log", "--since", "1e9"], "'1e9' is not a time", "30m, 1h, 2d"),
        (["session", "start", "--name", ""], "name is empty", "1 to 64"),
        (["session", "start", "--role", "orchestartor"], "one of orchestrator, worker", "Did you mean orchestrator?"),
        (["session", "start", "--id", "-x"], "--id needs a value", "--id=-x"),
        (["hooks", "install", "claud-code"], "one of claude-code, codex", "Did you mean claude-code?"),
        (["search", "stauts:pending"], "`stauts:` is no operator. Did you mean `status:`?", "Operators: "),
        (["search", "status:pendign"], "one of pending, delivered", "`status:pending`"),
        (["config", "show", "retention_m"], "no setting 'retention_m'", "Did you mean retention_ms?"),
        (["up", "--set", "rate_limt=5"], "no setting 'rate_limt'", "Did you mean rate_limit?"),
        (["template", "show", "reviw"], "no template 'reviw'", "Did you mean review?"),
        (["sned", "bob", "x"], "sned", "Did you mean `maestro send`?"),
        (["list"], "unknown command: list", "Did you mean `maestro session list`"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else "",
)
def test_a_wrong_input_is_answered_with_what_and_the_step(
    alice: Shell, arguments: list[str], what: str, step: str
) -> None:
    """Exit code 2, the same words with --json, and nothing is sent."""
    with alice.client() as client:
        if "bob" not in {each["id"] for each in client.sessions(active=True)}:
            client.start_session("bob")
    ran = alice.run(*arguments)
    assert ran.code == exit_codes.USAGE, ran
    assert ran.out == ""
    message, *hint = ran.err.splitlines()
    assert message.startswith("maestro: ")
    assert what in message
    assert hint[0].startswith("  next: ")
    assert step in ran.err


def test_a_far_fetched_guess_is_not_made_by_the_parser(alice: Shell) -> None:
    """`--with` was taken for `--limit`, and `--since` for `--sent`."""
    for arguments in (["log", "--with", "bob"], ["inbox", "--since", "yesterday"], ["foo"], ["who", "--satte", "x"]):
        ran = alice.run(*arguments)
        assert (ran.code, "Did you mean" in ran.err) == (exit_codes.USAGE, False), ran
