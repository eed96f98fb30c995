"""The command line's help, version, usage errors and exit codes. They need no broker."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from maestro_cli import exit_codes
from maestro_cli.help import command_rows
from maestro_schemas import DATA_FORMAT_VERSION, PROTOCOL_VERSION, __version__
from maestro_schemas.errors import CODES, MaestroError

COMMANDS: list[tuple[str, ...]] = [
    (),
    *[(group.name,) for group in command_rows.GROUPS],
    *[path for path, _ in command_rows.every_command()],
]


def maestro(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command in an environment without any writable directory."""
    environ = {"PATH": os.environ["PATH"], "MAESTRO_DATA_DIR": "/nonexistent/maestro", "MAESTRO_AUTOSTART": "0"}
    environ |= {name: value for name, value in os.environ.items() if name.startswith("COV")}
    return subprocess.run(
        [sys.executable, "-m", "maestro_cli", *arguments],
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(command: tuple[str, ...]) -> None:
    shown = maestro(*command, "--help")
    assert shown.returncode == 0
    assert shown.stderr == ""
    assert shown.stdout.startswith(f"Usage: {' '.join(('maestro', *command))}")
    assert "Examples:\n  " in shown.stdout
    assert f"  {' '.join(('maestro', *command))}" in shown.stdout.partition("Examples:")[2] or not command
    assert set(re.findall(r"--no-\w+", shown.stdout)) <= {"--no-http", "--no-wake", "--no-open", "--no-text"}
    assert "─" not in shown.stdout
    assert "\x1b" not in shown.stdout
    lines = shown.stdout.splitlines()
    # A trailing space shows that the parser wrapped a line of ours that is wider than a terminal.
    assert [line for line in lines if line.endswith(" ") and line.strip()] == []
    for number, line in enumerate(lines):
        if line.startswith("  --"):
            explained = "  " in line.strip() or lines[number + 1].startswith("      ")
            assert explained, f"no explanation: {line}"


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_help_command_prints_the_same(command: tuple[str, ...]) -> None:
    assert maestro("help", *command).stdout == maestro(*command, "--help").stdout


def test_no_arguments_show_how_to_begin_where_nothing_is_yet() -> None:
    bare = maestro()
    assert (bare.returncode, bare.stderr) == (0, "")
    assert len(bare.stdout.splitlines()) == 4
    assert all(word in bare.stdout for word in ("maestro setup", "maestro demo", "maestro --help"))


def test_the_list_of_commands_has_each_in_its_place_and_fits_two_screens() -> None:
    shown = maestro("--help").stdout
    for name in (path[0] for path in COMMANDS if path):
        assert re.search(rf"^  {name}  |^Compatible names: .*\b{name}\b", shown, re.MULTILINE), name
    assert "\nMore:" not in shown, "a command without a place in root_help.SECTIONS"
    assert len(shown.splitlines()) <= 64
    assert max(map(len, shown.splitlines())) <= 80
    assert maestro("-h").stdout == shown


def test_topics_of_the_help() -> None:
    assert "maestro help exit-codes" in maestro("--help").stdout
    text = maestro("help", "exit-codes").stdout
    for number, meaning in exit_codes.MEANINGS.items():
        assert f"  {number}  {meaning}" in text
    assert "MAESTRO_DATA_DIR" in maestro("help", "environment").stdout


def test_the_version() -> None:
    assert maestro("--version").stdout == f"maestro {__version__}\n"
    assert maestro("--version", "--other").stdout == f"maestro {__version__}\n"


def test_the_version_with_all_that_a_report_needs() -> None:
    python = ".".join(map(str, sys.version_info[:3]))
    wanted = {
        "version": __version__,
        "python": python,
        "protocol": PROTOCOL_VERSION,
        "dataFormat": DATA_FORMAT_VERSION,
    }
    assert json.loads(maestro("--version", "--json").stdout) == wanted
    assert maestro("--version", "--verbose").stdout.splitlines() == [
        f"maestro {__version__}",
        f"Python {python}",
        f"protocol {PROTOCOL_VERSION}",
        f"data format {DATA_FORMAT_VERSION}",
    ]


def test_the_installed_script_is_the_same_program() -> None:
    script = os.path.join(os.path.dirname(sys.executable), "maestro")
    shown = subprocess.run([script, "--version"], capture_output=True, text=True, timeout=60, check=False)
    assert (shown.returncode, shown.stdout) == (0, f"maestro {__version__}\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sesion"], "Did you mean `maestro session`?"),
        (["session", "strat"], "Did you mean `maestro session start`?"),
        (["list"], "Did you mean `maestro session list` or `maestro"),
        (["hooks", "install", "cluade-code"], "Did you mean claude-code?"),
        (["completion", "zhs"], "Did you mean zsh?"),
        (["send", "--to", "b", "--message", "x", "--priority", "hihg"], "Did you mean high?"),
        (["session", "start", "--id", "-x"], "is joined to its option: --id=-x"),
        (["inbox", "--wach"], "Did you mean --watch?"),
        (["session", "send", "--message", "x"], "the receiver is missing"),
        (["ls", "-la"], "Did you mean `maestro session list` or `maestro inbox --all`?"),
        (["PS"], "Did you mean `maestro who`?"),
        (["msg", "bob", "hello"], "Did you mean `maestro send` or `maestro inbox`?"),
        (["message", "send"], "Did you mean `maestro send`?"),
        (["retry"], "Did you mean `maestro message retry`?"),
        (["session", "send", "--to", "bob", "--message"], "--message needs a value"),
        (["session", "send", "bob", "hello", "there"], "unexpected argument: there"),
        (["session", "send", "--to", "bob", "--message", "x", "--priority", "urgent"], "one of low, medium, high"),
        (["session", "send", "--to", "bob", "--message", "x", "--type", "rant"], "one of request, response"),
        (["session", "start", "--role", "king"], "one of orchestrator, worker"),
        (["inbox", "--limit", "many"], "--limit can't be 'many': it is a whole number"),
        (["inbox", "--limit", "1.5"], "--limit can't be '1.5': it is a whole number"),
        (["inbox", "--limit", "1e2"], "--limit can't be '1e2'"),
        (["timeline", "--limit", "9" * 30], "--limit must be 1 to 1,000,000, not 999"),
        (["inbox", "-q", "--quiet"], "was given twice"),
        (["inbox", "--quiet=maybe"], "it is true or false"),
        (["inbox", "--no-quiet"], "--no-quiet"),
        (["message", "show"], "ID is missing"),
        (["message", "read"], "ID is missing"),
        (["up", "--set", "rate"], "NAME=VALUE"),
        (["up", "--set", "colour=red"], "no setting 'colour'"),
        (["up", "--set", "rate_limit=-1"], "rate_limit can't be '-1'"),
        (["inbox", "--mark-read", "--clear"], "exclude each other"),
        (["inbox", "--timeout", "3s"], "--timeout is for --watch"),
        (["inbox", "--watch", "--unread"], "--unread"),
        (["inbox", "--limit", "0"], "--limit must be 1 to 1,000,000, not 0"),
        (["inbox", "--limit", "-1"], "--limit must be 1 to 1,000,000, not -1"),
        (["log", "--limit", "1000000000"], "--limit must be 1 to 1,000,000, not 1000000000"),
        (["session", "list", "--limit", "0"], "--limit must be 1 to 1,000,000, not 0"),
        (["up", "--http-port", "99999"], "--http-port must be 0 to 65,535, not 99999"),
        (["timeline", "--after", "-1"], "--after must be 0 to "),
        (["send", "--to", "b", "--message", "x", "--wait-reply", "--replies", "0"], "--replies must be 1 to 1,024"),
        (["wake", "b", "--test", "--timeout", "9999d"], "--timeout must be 1ms to 365d, not '9999d'"),
        (["inbox", "--limit", ""], "--limit can't be '': it is a whole number, 1 to 1,000,000"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
@pytest.mark.parametrize("as_json", [False, True], ids=["plain", "json"])
def test_usage_errors(arguments: list[str], said: str, as_json: bool) -> None:
    # --json stands before the options. After the last option it could be taken as its value.
    first_option = next((place for place, word in enumerate(arguments) if word.startswith("--")), len(arguments))
    ran = maestro(*arguments[:first_option], *(["--json"] if as_json else []), *arguments[first_option:])
    assert ran.returncode == exit_codes.USAGE
    assert ran.stderr.startswith("maestro: ")
    assert said in ran.stderr
    assert "\n  next: " in ran.stderr
    if as_json:
        error = json.loads(ran.stdout)["error"]
        assert error["code"] in CODES
        assert said in f"{error['message']} {error.get('hint', '')}"
    else:
        assert ran.stdout == ""


def test_export_and_json_exclude_each_other() -> None:
    ran = maestro("session", "start", "--json", "--export")
    assert (ran.returncode, json.loads(ran.stdout)["error"]["code"]) == (exit_codes.USAGE, "INVALID")


def test_every_code_has_an_exit_code_that_is_documented() -> None:
    assert exit_codes.EXIT_OF_CODE.keys() <= CODES.keys()
    chosen = {exit_codes.of(MaestroError(code, "")) for code in CODES}
    # Of several receivers some may refuse, which is no error of the whole.
    assert chosen | {exit_codes.DONE, exit_codes.PARTLY} == exit_codes.MEANINGS.keys()
    assert exit_codes.PARTLY not in chosen
    assert exit_codes.DONE not in chosen


def test_a_code_of_a_newer_broker_is_a_failure() -> None:
    assert exit_codes.of(MaestroError("FROM_THE_FUTURE", "?")) == exit_codes.FAILED


def test_main_is_cheap_to_import() -> None:
    script = (
        "import sys; before = set(sys.modules)\nimport maestro_cli.main\nprint(*sorted(set(sys.modules) - before))"
    )
    environ = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    loaded = subprocess.run(
        [sys.executable, "-S", "-c", script], env=environ, capture_output=True, text=True, timeout=60, check=True
    )
    assert loaded.stdout.split() == ["maestro_cli", "maestro_cli.main"]


def test_a_fault_of_ours_is_reported_once_and_kept(tmp_path: pytest.TempPathFactory) -> None:
    """The traceback is written to a file, to spare an agent's context. The message names the file."""
    broken = (
        "import sys, maestro_cli.commands.status as status\n"
        "def fail(as_json): raise ZeroDivisionError('on purpose')\n"
        "status.run = fail\n"
        "from maestro_cli.main import main\n"
        "sys.exit(main(['status', '--json']))\n"
    )
    os.makedirs(f"{tmp_path}/logs")
    ran = subprocess.run(
        [sys.executable, "-c", broken],
        env={**os.environ, "MAESTRO_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == exit_codes.FAILED
    error = json.loads(ran.stdout)["error"]
    assert error["code"] == "INTERNAL"
    log = f"{tmp_path}/logs/cli-faults.log"
    assert log in error["hint"]
    assert "Traceback" not in ran.stderr
    assert os.stat(log).st_mode & 0o777 == 0o600
    with open(log, encoding="utf-8") as file:
        assert "ZeroDivisionError: on purpose" in file.read()
