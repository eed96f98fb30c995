"""`maestro hooks install`, `uninstall` and `show`: minimal changes of an agent's settings, and their reversal."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maestro_cli import exit_codes
from maestro_cli.hooks import settings_entries
from maestro_cli.hooks.agents import AGENTS
from maestro_cli.hooks.installation import entries
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from pathlib import Path

FILES = {
    "claude-code": ".claude/settings.json",
    "codex": ".codex/hooks.json",
    "gemini-cli": ".gemini/settings.json",
    "qwen-code": ".qwen/settings.json",
}

PROJECT_FILES = {**FILES, "claude-code": ".claude/settings.local.json"}

SETTINGS = """\
{
    "model": "opus",
    "hooks": {
        "Stop": [
            {"hooks": [{"type": "command", "command": "notify-send done"}]}
        ],
        "PostToolUse": [
            {
                "matcher": "Write",
                "hooks": [ { "type": "command", "command": "make fmt" } ]
            }
        ]
    },
    "permissions": {"allow": ["Bash(ls:*)"]}
}
"""
COMMENTED = """\
// mine
{
  /* the look */ "ui": {"theme": "Dracula"}, // dark
  "hooks": {
    // none yet, see "AfterTool": []
  }
}
"""
ODD = [
    SETTINGS,
    SETTINGS.replace("\n", "\r\n"),
    SETTINGS.replace("    ", "\t"),
    "\ufeff" + SETTINGS,
    '{"a": 1}',
    '{"a": 1, "hooks": {}}',
    '{"hooks": {"Stop": []}, "b": [1, 2]}',
    "{}",
    "{}\n",
    "{\n}\n",
    "",
    "\n",
    '{"hooks":{"Stop":[{"hooks":[]}]},"x":"\\" // no comment"}',
]


class Home:
    """A temporary home directory, and calls of `maestro hooks` in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.data = str(root / "data dir" / "it's")
        self.environ = {
            **{name: value for name, value in os.environ.items() if name.startswith("COV") or name == "PATH"},
            "HOME": str(root),
            "MAESTRO_DATA_DIR": self.data,
            "MAESTRO_AUTOSTART": "0",
        }

    def path(self, agent: str) -> Path:
        return self.root / FILES[agent]

    def put(self, agent: str, text: str) -> Path:
        path = self.path(agent)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text.encode())
        return path

    def run(self, *arguments: str, cwd: Path | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "maestro_cli", "hooks", *arguments],
            env={**self.environ, **environ},
            cwd=cwd or self.root,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def done(self, *arguments: str, cwd: Path | None = None, **environ: str) -> str:
        ran = self.run(*arguments, cwd=cwd, **environ)
        assert ran.returncode == 0, ran
        return ran.stdout


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def commands(text: str) -> list[str]:
    """The commands in a settings file, in order."""
    hooks = json.loads(text.removeprefix("\ufeff"))["hooks"]
    return [handler["command"] for groups in hooks.values() for group in groups for handler in group.get("hooks", ())]


@pytest.mark.parametrize("agent", FILES)
def test_install_without_a_file_and_uninstall(home: Home, agent: str) -> None:
    out = home.done("install", agent)
    path = home.path(agent)
    assert str(path) in out
    text = path.read_text()
    hooks = json.loads(text)["hooks"]
    assert list(hooks) == list(AGENTS[agent].events)
    for event, [group] in hooks.items():
        [handler] = group["hooks"]
        assert handler["type"] == "command"
        word = " wake" if AGENTS[agent].waker and event == "SessionStart" else ""
        end = " || true" if AGENTS[agent].has_login_shell else ""
        assert handler["command"].endswith(f" {agent} {event}{word}{end}")
        timeout_s = 60 if event == "FileChanged" else 20
        assert handler["timeout"] == timeout_s * (1_000 if agent == "gemini-cli" else 1)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "already" in home.done("install", agent)
    assert path.read_text() == text
    home.done("uninstall", agent)
    assert not path.exists()
    assert "no hooks of ours" in home.done("uninstall", agent)


@pytest.mark.parametrize("agent", FILES)
def test_other_settings_stay(home: Home, agent: str) -> None:
    path = home.put(agent, SETTINGS)
    path.chmod(0o644)
    home.done("install", agent)
    text = path.read_text()
    assert (path.parent / f"{path.name}.before-maestro").read_text() == SETTINGS
    # Claude Code's own rules get further ones beside them, on the same line.
    assert '"Bash(ls:*)"' in text
    changed = [line for line in SETTINGS.splitlines() if line.rstrip(",") not in text]
    assert changed == (['    "permissions": {"allow": ["Bash(ls:*)"]}'] if agent == "claude-code" else [])
    others = [command for command in commands(text) if "maestro-hook" not in command]
    assert others == ["notify-send done", "make fmt"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    home.done("install", agent)
    assert path.read_text() == text
    home.done("uninstall", agent)
    assert path.read_text() == SETTINGS
    assert sorted(os.listdir(path.parent)) == [path.name]


def test_comments_stay_where_the_agent_allows_them(home: Home) -> None:
    path = home.put("gemini-cli", COMMENTED)
    home.done("install", "gemini-cli")
    text = path.read_text()
    for line in ("// mine", '/* the look */ "ui": {"theme": "Dracula"}, // dark', '// none yet, see "AfterTool": []'):
        assert line in text
    assert set(settings_entries.own_entries(text, comments=True)) == set(AGENTS["gemini-cli"].events)
    home.done("uninstall", "gemini-cli")
    assert path.read_text() == COMMENTED


@pytest.mark.parametrize("text", ODD, ids=range(len(ODD)))
def test_uninstall_restores_the_text_byte_for_byte(home: Home, text: str) -> None:
    path = home.put("claude-code", text)
    home.done("install", "claude-code")
    assert len([command for command in commands(path.read_bytes().decode()) if "maestro-hook" in command]) == len(
        AGENTS["claude-code"].events
    )
    home.done("uninstall", "claude-code")
    assert path.read_bytes() == text.encode()


def test_only_our_entries_are_removed_from_a_file_that_has_changed(home: Home) -> None:
    path = home.put("claude-code", SETTINGS)
    home.done("install", "claude-code")
    document = json.loads(path.read_text())
    document["hooks"]["SessionStart"].append({"hooks": [{"type": "command", "command": "echo mine"}]})
    at_prompt = document["hooks"]["UserPromptSubmit"][0]["hooks"]
    at_prompt.insert(0, {"type": "command", "command": "maestro inbox --quiet"})
    document["model"] = "sonnet"
    path.write_text(json.dumps(document, indent=4))
    home.done("uninstall", "claude-code")
    after = json.loads(path.read_text())
    assert commands(path.read_text()) == ["notify-send done", "make fmt", "echo mine", "maestro inbox --quiet"]
    assert (after["model"], after["permissions"]) == ("sonnet", {"allow": ["Bash(ls:*)"]})
    assert "SessionEnd" not in after["hooks"]


def test_another_installation_is_replaced(home: Home) -> None:
    path = home.put("claude-code", SETTINGS)
    home.done("install", "claude-code", MAESTRO_DATA_DIR=str(home.root / "old"))
    home.done("install", "claude-code")
    ours = [command for command in commands(path.read_text()) if "maestro-hook" in command]
    assert len(ours) == len(AGENTS["claude-code"].events)
    assert not any("/old/" in command for command in ours)
    home.done("uninstall", "claude-code")
    assert path.read_text() == SETTINGS


def test_a_symlink_stays_a_symlink(home: Home) -> None:
    real = home.root / "dotfiles" / "claude.json"
    real.parent.mkdir()
    real.write_text(SETTINGS)
    link = home.path("claude-code")
    link.parent.mkdir()
    link.symlink_to(real)
    home.done("install", "claude-code")
    assert link.is_symlink()
    assert len(commands(real.read_text())) == 2 + len(AGENTS["claude-code"].events)
    home.done("uninstall", "claude-code")
    assert link.is_symlink()
    assert real.read_text() == SETTINGS


@pytest.mark.parametrize(
    ("agent", "variable", "file"),
    [
        ("claude-code", "CLAUDE_CONFIG_DIR", "settings.json"),
        ("codex", "CODEX_HOME", "hooks.json"),
        ("gemini-cli", "GEMINI_CLI_HOME", ".gemini/settings.json"),
        ("qwen-code", "QWEN_HOME", "settings.json"),
    ],
)
def test_a_variable_moves_the_settings_file(home: Home, agent: str, variable: str, file: str) -> None:
    elsewhere = home.root / "elsewhere"
    home.environ[variable] = str(elsewhere)
    home.done("install", agent)
    assert (elsewhere / file).exists()
    assert not home.path(agent).exists()


@pytest.mark.parametrize("agent", FILES)
def test_in_a_project(home: Home, agent: str) -> None:
    project = home.root / "project"
    project.mkdir()
    home.done("install", agent, "--scope", "project", cwd=project)
    path = project / PROJECT_FILES[agent]
    assert path.exists()
    assert not home.path(agent).exists()
    home.done("uninstall", agent, "--scope", "project", cwd=project)
    assert not path.exists()


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '"x"',
        '{"a": 1,}',
        '{"a": 1} x',
        "{'a': 1}",
        '{"a": 01}',
        '{"hooks": []}',
        '{"hooks": {"Stop": {}}}',
        '{"a": "\n"}',
        "// no comments here\n{}",
        "[" * 100_000,
        "\x00",
    ],
    ids=range(13),
)
def test_settings_that_cannot_be_read_are_refused(home: Home, text: str) -> None:
    path = home.put("claude-code", text)
    ran = home.run("install", "claude-code", "--json")
    assert ran.returncode == exit_codes.USAGE
    error = json.loads(ran.stdout)["error"]
    assert error["code"] == "FILE_UNREADABLE"
    assert str(path) in error["message"]
    assert "The file was not changed" in error["hint"]
    assert path.read_bytes() == text.encode()
    assert os.listdir(path.parent) == [path.name]


def test_bytes_that_are_not_text_and_directories_are_refused(home: Home) -> None:
    path = home.path("claude-code")
    path.parent.mkdir()
    path.write_bytes(b'{"a": "\xff"}')
    assert home.run("install", "claude-code").returncode == exit_codes.USAGE
    assert path.read_bytes() == b'{"a": "\xff"}'
    path.unlink()
    path.mkdir()
    assert home.run("install", "claude-code").returncode == exit_codes.USAGE


@pytest.mark.parametrize("agent", FILES)
def test_a_dry_run_changes_nothing(home: Home, agent: str) -> None:
    path = home.put(agent, SETTINGS)
    shown = home.done("install", agent, "--dry-run")
    assert len(commands(shown)) == 2 + len(AGENTS[agent].events)
    assert path.read_text() == SETTINGS
    assert not os.path.exists(home.data)
    home.done("install", agent)
    installed = path.read_text()
    assert installed == shown
    assert home.done("uninstall", agent, "--dry-run") == SETTINGS
    assert path.read_text() == installed


# --- OpenCode, which has a plugin in place of settings ------------------------------------------------------------


def plugin_of(home: Home) -> Path:
    return home.root / ".config/opencode/plugin/maestro.js"


def test_a_plugin_is_written_and_removed(home: Home) -> None:
    path = plugin_of(home)
    assert str(path) in home.done("install", "opencode")
    text = path.read_text()
    for event in AGENTS["opencode"].events:
        word = " wake" if event == "SessionStart" else ""
        assert f"maestro-hook' opencode {event}{word}\"" in text
    assert "@settings@" not in text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "already" in home.done("install", "opencode")
    assert home.done("show", "opencode") == text
    assert "opencode SessionStart no-wake && " in home.done("install", "opencode", "--no-wake", "--dry-run")
    assert path.read_text() == text
    assert home.done("uninstall", "opencode", "--dry-run") == "(no file)\n"
    home.done("uninstall", "opencode")
    assert os.listdir(path.parent) == []
    assert "no hooks of ours" in home.done("uninstall", "opencode")


def test_a_plugin_of_another_post_office_is_replaced(home: Home) -> None:
    home.done("install", "opencode")
    first = "/data dir/it'"
    assert first in plugin_of(home).read_text()
    home.environ["MAESTRO_DATA_DIR"] = str(home.root / "other")
    home.done("install", "opencode")
    text = plugin_of(home).read_text()
    assert first not in text
    assert text.count("/other/hooks/maestro-hook") == 3 * len(AGENTS["opencode"].events)


@pytest.mark.parametrize("command", ["install", "uninstall", "show"])
def test_a_plugin_of_another_is_neither_replaced_nor_removed(home: Home, command: str) -> None:
    path = plugin_of(home)
    path.parent.mkdir(parents=True)
    path.write_text("// Mine. Written by `maestro hooks install opencode`, and changed.\n")
    ran = home.run(command, "opencode")
    assert (ran.returncode != 0) == (command != "uninstall")
    assert command == "uninstall" or f"{path} exists" in ran.stderr
    assert path.read_text().startswith("// Mine.")


@pytest.mark.parametrize(
    ("variable", "file"),
    [("XDG_CONFIG_HOME", "opencode/plugin/maestro.js"), ("OPENCODE_CONFIG_DIR", "plugin/maestro.js")],
)
def test_a_variable_moves_the_plugin(home: Home, variable: str, file: str) -> None:
    home.environ[variable] = str(home.root / "elsewhere")
    home.done("install", "opencode")
    assert (home.root / "elsewhere" / file).exists()
    assert not plugin_of(home).exists()


def test_a_plugin_in_a_project(home: Home) -> None:
    project = home.root / "project"
    project.mkdir()
    home.done("install", "opencode", "--scope", "project", cwd=project)
    assert (project / ".opencode/plugin/maestro.js").exists()
    home.done("uninstall", "opencode", "--scope", "project", cwd=project)
    assert not (project / ".opencode/plugin/maestro.js").exists()


def test_as_json(home: Home) -> None:
    done = json.loads(home.done("install", "codex", "--json"))
    assert (done["changed"], done["path"], done["backup"]) == (True, str(home.path("codex")), None)
    assert json.loads(home.done("install", "codex", "--json"))["changed"] is False
    shown = json.loads(home.done("show", "codex", "--json"))
    assert (shown["installed"], list(shown["hooks"])) == (True, list(AGENTS["codex"].events))
    assert json.loads(home.done("uninstall", "codex", "--json"))["changed"] is True


def test_show_changes_nothing(home: Home) -> None:
    shown = json.loads(home.done("show", "claude-code"))
    assert list(shown["hooks"]) == list(AGENTS["claude-code"].events)
    assert os.listdir(home.root) == []


def test_the_plain_script(home: Home) -> None:
    script = home.root / "prompt-display"
    script.write_text(home.done("show", "prompt-display"))
    assert subprocess.run(["sh", "-n", str(script)], check=False).returncode == 0
    quiet = subprocess.run(["sh", str(script)], env=home.environ, capture_output=True, check=False)
    assert (quiet.returncode, quiet.stdout) == (0, b"")


def test_the_script_names_the_interpreter_and_is_private(home: Home) -> None:
    home.done("install", "claude-code")
    script = os.path.join(home.data, "hooks", "maestro-hook")
    with open(script, encoding="utf-8") as file:
        text = file.read()
    assert sys.executable in text
    assert stat.S_IMODE(os.stat(script).st_mode) == 0o700
    assert subprocess.run(["sh", "-n", script], check=False).returncode == 0


def test_a_command_without_its_script_prints_nothing(home: Home) -> None:
    home.done("install", "claude-code")
    [command, *_] = commands(home.path("claude-code").read_text())
    os.unlink(os.path.join(home.data, "hooks", "maestro-hook"))
    for shell in ("sh", "bash"):
        ran = subprocess.run([shell, "-c", command], input=b"{}", capture_output=True, check=False)
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"", b"")


def test_a_path_that_shells_read_differently_is_refused(home: Home) -> None:
    ran = home.run("install", "claude-code", MAESTRO_DATA_DIR=str(home.root / "a\\b"))
    assert ran.returncode == exit_codes.USAGE
    assert not home.path("claude-code").exists()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
groups = st.lists(
    st.fixed_dictionaries(
        {"hooks": st.lists(st.fixed_dictionaries({"command": st.sampled_from(["a", "maestro inbox"])}), max_size=2)}
    ),
    max_size=2,
)
documents = st.tuples(
    st.dictionaries(st.text(max_size=4), json_values, max_size=3),
    st.none() | st.dictionaries(st.sampled_from(["Stop", "PreToolUse", "SessionEnd"]), groups, max_size=3),
    st.sampled_from([None, 2, "\t"]),
    st.booleans(),
)


@given(documents)
@settings(deadline=None, max_examples=200)
def test_entries_are_added_to_any_settings_and_removed(
    made: tuple[dict[str, Any], dict[str, Any] | None, Any, bool],
) -> None:
    """Also without the backup: the other settings keep their values; only empty lists and objects disappear."""
    rest, hooks, indent, front = made
    rest.pop("hooks", None)
    document = rest if hooks is None else {"hooks": hooks, **rest} if front else {**rest, "hooks": hooks}
    text = json.dumps(document, indent=indent)
    wanted = entries(AGENTS["claude-code"], "/data")
    once = settings_entries.add_entries(text, wanted, comments=False)
    assert settings_entries.add_entries(once, wanted, comments=False) == once
    expected = {event: [*(hooks or {}).get(event, []), entry] for event, entry in wanted.items()}
    read = json.loads(once)
    assert {event: read["hooks"][event] for event in wanted} == expected
    assert {name: value for name, value in read.items() if name != "hooks"} == rest
    out = json.loads(settings_entries.remove_entries(once, comments=False))
    left = {event: found for event, found in (hooks or {}).items() if found or event not in wanted}
    assert out == ({**rest, "hooks": left} if left else rest)


def test_an_unknown_agent_is_refused() -> None:
    from maestro_cli.hooks import agents

    with pytest.raises(MaestroError, match="no hooks are known for 'vim'"):
        agents.named("vim")
