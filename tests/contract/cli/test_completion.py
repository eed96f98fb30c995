"""Completion, with the real shells: it starts no Python, and every completion that it offers exists."""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import pytest

from maestro_cli.completion import marks, scripts
from maestro_cli.help import command_help
from support import components
from support.cli_shell import Shell, open_shell

if TYPE_CHECKING:
    from collections.abc import Iterator

AUDIENCES = {"@all", "@workers", "@orchestrators", "@project", "@children"}
SHELLS: tuple[marks.Shell, ...] = get_args(marks.Shell)

_ASK_BASH = """
source {script}
COMP_WORDS=({words})
COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
_maestro
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
_ASK_ZSH = """
zmodload zsh/zpty
zpty z zsh -f
zpty -w z 'PS1=; LISTMAX=9999; source {script}; print -r -- IS_READ"Y"'
zpty -r z out '*IS_READY*'
zpty -w -n z '{line}'$'\\t\\t\\t'
zpty -w -n z $'\\C-a: \\C-e\\C-k'
zpty -w z ' ; print -r -- IS_DON"E"'
zpty -r z out '*IS_DONE*'
print -r -- $out
"""


class Tab:
    """The completions of a shell. Its PATH has only traps, which leave a mark when one is run."""

    def __init__(self, shell: marks.Shell, person: Shell, directory: Path) -> None:
        self.shell = shell
        self.script = directory / f"maestro.{shell}"
        self.script.write_text(scripts.script(shell), encoding="utf-8")
        self.mark = directory / "trapped"
        self.directory = directory
        traps = directory / "traps"
        traps.mkdir()
        for name in ("python", "python3", "maestro", "sed", "grep", "cat", "ls"):
            trap = traps / name
            trap.write_text(f"#!/bin/sh\necho {name} >> {self.mark}\n", encoding="utf-8")
            trap.chmod(0o755)
        self.environ = {**person.environ, "PATH": str(traps), "HOME": str(directory), "TERM": "dumb"}

    def offers(self, line: str, **environ: str) -> set[str]:
        """The completions after `line`."""
        found = shutil.which(self.shell)
        assert found is not None
        if self.shell == "bash":
            words = " ".join(f"'{word}'" for word in line.split(" "))
            command = [found, "--norc", "--noprofile", "-c", _ASK_BASH.format(script=self.script, words=words)]
        elif self.shell == "fish":
            command = [found, "--no-config", "-c", f"source {self.script}; complete -C '{line}'"]
        else:
            zsh = _ASK_ZSH.format(script=self.script, line=line).replace("zpty z zsh", f"zpty z {found}")
            command = [found, "-f", "-c", zsh]
        done = subprocess.run(
            command,
            env={**self.environ, **environ},
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert not self.mark.exists(), self.mark.read_text("utf-8")
        assert done.stderr == ""
        if self.shell == "fish":
            return {offered.split("\t")[0] for offered in done.stdout.splitlines() if offered}
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", " ", done.stdout)
        return set(text.split())


@pytest.fixture(scope="module")
def office() -> Iterator[tuple[Shell, Shell]]:
    """The shell of a person, and the shell of a session that has mail."""
    with open_shell(MAESTRO_RATE_LIMIT="0") as person:
        with person.client() as operator:
            operator.start_session("sess_ann", name="ann", role="orchestrator")
            operator.start_session("sess_bob", name="bob")
            operator.start_session("sess_old", name="old")
            operator.end_session("sess_old")
        ann = person.like(MAESTRO_SESSION_ID="sess_ann")
        ann.done("send", "--to", "bob", "--message", "hello", "--id", "msg_for_bob")
        ann.done("send", "bob", "hello")
        person.done("down")  # completion reads only its files
        groups = Path(person.data) / "groups"
        groups.mkdir(exist_ok=True)
        (groups / "reviews.json").write_text("{}\n", encoding="utf-8")
        yield person, person.like(MAESTRO_SESSION_ID="sess_bob")


@pytest.fixture(params=SHELLS)
def tab(request: pytest.FixtureRequest, office: tuple[Shell, Shell], tmp_path: Path) -> Tab:
    components.require_tools(request.param)
    return Tab(request.param, office[0], tmp_path)


def test_commands_options_and_words(tab: Tab) -> None:
    assert {"send", "session", "message", "completion"} <= tab.offers("maestro ")
    assert {"start", "end", "show", "list", "send"} <= tab.offers("maestro session ")
    assert "--priority" in tab.offers("maestro session send --pri")
    assert {"low", "medium", "high"} <= tab.offers("maestro send --priority ")
    assert {"queue", "redirect"} <= tab.offers("maestro send --on-ended ")
    assert {"claude-code", "codex", "gemini-cli"} <= tab.offers("maestro hooks install ")
    assert "rate_limit=" in {word.replace("\\=", "=") for word in tab.offers("maestro up --set rate")}
    assert "message.expired" in tab.offers("maestro timeline --event message.ex")
    assert "http.port" in tab.offers("maestro config show http.p")


def test_live_sessions_and_messages(tab: Tab) -> None:
    receivers = tab.offers("maestro session send --to ")
    assert {"parent", "operator", "sess_ann", "ann", "sess_bob", "bob"} <= receivers
    assert receivers >= {*AUDIENCES, "@reviews"}
    assert not {"sess_old", "old"} & receivers
    for command in (
        "session end", "session watch", "session prompt", "mail send", "wake", "inbox --from",
    ):  # fmt: skip
        assert "sess_bob" in tab.offers(f"maestro {command} sess_b"), command
    # `message read` takes received messages, `message receipt` takes sent ones, and `message show` takes both.
    got, sent = {"MAESTRO_SESSION_ID": "sess_bob"}, {"MAESTRO_SESSION_ID": "sess_ann"}

    def offers_mail(command: str, **environ: str) -> bool:
        return any(word.startswith("msg_for_bob") for word in tab.offers(command, **environ))

    assert offers_mail("maestro message read ", **got)
    assert not offers_mail("maestro message receipt ", **got)
    assert offers_mail("maestro message receipt ", **sent)
    assert not offers_mail("maestro message read ", **sent)
    assert offers_mail("maestro message show ", **got)
    assert offers_mail("maestro message show ", **sent)
    assert not offers_mail("maestro message read ")
    assert "sess_ann" not in tab.offers("maestro session end ", MAESTRO_DATA_DIR="/nowhere")


def test_what_stands_without_an_option(tab: Tab) -> None:
    """A receiver, and nothing where the text is; `last`, and the part of an id that is enough."""
    assert {"parent", "operator", "ann", "@workers", "@reviews"} <= tab.offers("maestro send ")
    assert "sess_ann" in tab.offers("maestro send sess_a")
    assert "sess_ann" not in tab.offers("maestro send bob sess_a")
    got = {"MAESTRO_SESSION_ID": "sess_bob"}
    for command in ("reply", "read", "message reply", "message show", "attachment list", "send --reply-to"):
        offered = tab.offers(f"maestro {command} ", **got)
        assert "last" in offered, command
        assert [word for word in offered if re.fullmatch("[0-9a-z]{9}", word)], command
    # What zsh has on its screen holds the line, too.
    assert tab.shell == "zsh" or not tab.offers("maestro reply last la", **got)
    offered = tab.offers("maestro read msg_1", **got)
    assert any(re.fullmatch(r"msg_\d+_[0-9a-z]{9}_[0-9a-z]{7}", word) for word in offered)


def test_the_data_directory_is_found_as_the_command_finds_it(tab: Tab, tmp_path: Path) -> None:
    del tab.environ["MAESTRO_DATA_DIR"]
    places = {
        "home": (tmp_path / ".local" / "share" / "maestro", {}),
        "xdg": (tmp_path / "xdg" / "maestro", {"XDG_DATA_HOME": str(tmp_path / "xdg")}),
        "tilde": (tmp_path / "mine", {"MAESTRO_DATA_DIR": "~/mine", "XDG_DATA_HOME": str(tmp_path / "none")}),
    }
    for name, (place, environ) in places.items():
        (place / "sessions").mkdir(parents=True)
        (place / "sessions" / f"in_{name}.json").write_text('{"session":{"id":"x"}}\n', encoding="utf-8")
        assert f"in_{name}" in tab.offers("maestro session show in_", **environ)
        assert f"in_{name}" in tab.offers("maestro wake in_", **environ)


def test_templates(tab: Tab, tmp_path: Path) -> None:
    """Those of the project above, the user's, and the shipped ones."""
    user, below = tmp_path / "xdg" / "maestro" / "templates", tmp_path / "repo" / "src"
    project = tmp_path / "repo" / ".maestro" / "templates"
    for folder, name in ((user, "mine"), (project, "ours")):
        folder.mkdir(parents=True)
        (folder / f"{name}.md").write_text("x", encoding="utf-8")
    below.mkdir()
    del tab.environ["MAESTRO_CONFIG"]
    tab.directory = below
    for command in ("send --to x --template ", "template show "):
        offered = tab.offers(f"maestro {command}", XDG_CONFIG_HOME=str(tmp_path / "xdg"))
        assert offered >= {"handoff", "review", "status", "mine", "ours"}
    tab.directory = Path("/")
    assert {"handoff"} <= tab.offers("maestro template show ")


def test_a_relative_xdg_directory_counts_as_none(tab: Tab, tmp_path: Path) -> None:
    del tab.environ["MAESTRO_DATA_DIR"]
    place = tmp_path / ".local" / "share" / "maestro" / "sessions"
    place.mkdir(parents=True)
    (place / "here.json").write_text('{"session":{"id":"here"}}\n', encoding="utf-8")
    assert "here" in tab.offers("maestro session show h", XDG_DATA_HOME="relative")


def test_values_after_an_equals_sign_in_bash(office: tuple[Shell, Shell], tmp_path: Path) -> None:
    tab = Tab("bash", office[0], tmp_path)
    # bash splits `--priority=h` into three words.
    assert tab.offers("maestro send --priority = h") == {"high"}
    assert tab.offers("maestro send --priority =") == {"low", "medium", "high"}


class Keyboard:
    """A shell on a terminal, in which `maestro` prints its arguments."""

    def __init__(self, command: list[str], environ: dict[str, str], directory: Path, setup: str) -> None:
        self._master, slave = os.openpty()
        # The shell's editor echoes the keys; the terminal adds no echo of its own.
        self.process = subprocess.Popen(
            command, env=environ, cwd=directory, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
        )
        os.close(slave)
        self.type(f'{setup}; maestro() {{ printf \'got<%s>\' "$@"; echo DO"NE"; }}; maestro\n')

    def type(self, keys: str) -> list[str]:
        """Type `keys`; the arguments that `maestro` then received."""
        os.write(self._master, keys.encode())
        seen = ""
        while "DONE" not in seen:
            ready, _, _ = select.select([self._master], [], [], 20.0)
            assert ready, seen
            seen += os.read(self._master, 65_536).decode(errors="replace")
        return re.findall(r"got<([^>]*)>", seen.replace("%s", ""))

    def close(self) -> None:
        """End the shell and close the terminal."""
        self.process.kill()
        self.process.wait()
        os.close(self._master)


@pytest.mark.parametrize("shell", ["bash", "zsh", "zsh by its file's name"])
def test_a_key_at_a_terminal(office: tuple[Shell, Shell], tmp_path: Path, shell: str) -> None:
    """The shell's own editor quotes names, continues into folders, and adds no space before a value."""
    components.require_tools(shell.split(maxsplit=1)[0])
    person = office[0].like(HOME=str(tmp_path), XDG_DATA_HOME="", TERM="dumb")
    work = tmp_path / "work"
    (work / "a folder").mkdir(parents=True)
    (work / "a folder" / "it's $one.md").touch()
    person.done("completion", "zsh", "--install")
    script = tmp_path / "script"
    script.write_text(scripts.script("bash" if shell == "bash" else "zsh"), encoding="utf-8")
    command = ["bash", "--norc", "--noprofile", "-i"] if shell == "bash" else ["zsh", "-f", "-i"]
    setup = f"source {script}"
    if shell == "zsh by its file's name":
        setup = "fpath=(~/.local/share/zsh/site-functions $fpath); autoload -Uz compinit; compinit -D -u"
    keyboard = Keyboard(command, person.environ, work, setup)
    try:
        assert keyboard.type("maestro send --to par\t\n") == ["send", "--to", "parent"]
        assert keyboard.type("maestro send --file a\tit\t\n")[2:] == ["a folder/it's $one.md"]
        assert keyboard.type("maestro send --to=sess_a\t\n") == ["send", "--to=sess_ann"]
        assert keyboard.type("maestro send --to @work\t\n") == ["send", "--to", "@workers"]
        assert keyboard.type("maestro send --to bob --to @rev\t\n") == ["send", "--to", "bob", "--to", "@reviews"]
        assert keyboard.type("maestro up --set rate_l\t600\n")[2:] == ["rate_limit=600"]
    finally:
        keyboard.close()


def test_the_scripts_have_exactly_the_options_of_the_help() -> None:
    for command in scripts.commands():
        help_text = command_help.text(tuple(command.path.split()))
        options = {name for names, _ in command.options for name in names}
        shown = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*(?= |,|$)", _option_rows(help_text), re.MULTILINE))
        assert options - {"--help", "--version"} == shown - {"--help", "--version"}, command.path


def _option_rows(help_text: str) -> str:
    """The first column of the options table."""
    _, _, table = help_text.partition("\nOptions:\n")
    rows = [line[2:] for line in table.split("\n\n")[0].splitlines() if line.startswith("  -")]
    return "\n".join(re.split(r"  ", row)[0] for row in rows)


def test_a_thousand_sessions(office: tuple[Shell, Shell], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tab = Tab("bash", office[0], tmp_path)
    sessions = tmp_path / "data" / "sessions"
    sessions.mkdir(parents=True)
    for number in range(1_000):
        body = {
            "session": {"id": f"sess_{number:04}", "role": "worker", "name": f"worker-{number}", "status": "idle"}
        }
        (sessions / f"sess_{number:04}.json").write_text(
            json.dumps(body, separators=(",", ":")) + "\n", encoding="utf-8"
        )
    data = str(tmp_path / "data")
    began = time.perf_counter()
    few = tab.offers("maestro session send --to ", MAESTRO_DATA_DIR="/nowhere")
    middle = time.perf_counter()
    many = tab.offers("maestro session send --to ", MAESTRO_DATA_DIR=data)
    ended = time.perf_counter()
    assert few == {"parent", "operator", *AUDIENCES}
    assert len(many) == 2_000 + len(few)
    with capsys.disabled():
        print(
            f"\na Tab in bash: {(middle - began) * 1000:.0f} ms without sessions, "
            f"{(ended - middle) * 1000:.0f} ms with 1,000 (a whole bash each time)"
        )


@pytest.mark.parametrize("shell", SHELLS)
def test_install(office: tuple[Shell, Shell], tmp_path: Path, shell: marks.Shell) -> None:
    person = office[0].like(HOME=str(tmp_path), XDG_DATA_HOME="", XDG_CONFIG_HOME="")
    assert person.done("completion", shell).out == scripts.script(shell)
    paths = re.findall(r"Wrote (.+)\.$", person.done("completion", shell, "--install").out, re.MULTILINE)
    assert paths
    assert all(path.startswith(str(tmp_path)) for path in paths)
    person.done("completion", shell, "--install")
    with open(paths[0], "w", encoding="utf-8") as file:
        file.write("# mine\n")
    refused = person.run("completion", shell, "--install")
    assert refused.code == 2
    assert "made by another program" in refused.err
    person.done("completion", shell, "--install", "--force")


def test_an_unknown_shell(office: tuple[Shell, Shell]) -> None:
    refused = office[0].run("completion", "tcsh")
    assert refused.code == 2
    assert "fish" in refused.err
