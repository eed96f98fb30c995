"""`maestro hooks install --mcp`: one entry in the agent's own settings, which `uninstall` takes out again."""

from __future__ import annotations

import json
import os
import subprocess
import tomllib
from typing import TYPE_CHECKING, Any

import pytest

from support.mcp_clients import McpClient

if TYPE_CHECKING:
    from support.cli_shell import Shell

AGENTS = ("claude-code", "codex", "gemini-cli", "qwen-code", "opencode")
# Where each keeps its MCP servers, and the text of such a file before.
FILES = {
    "claude-code": (".claude.json", '{\n  "numStartups": 4,\n  "projects": {\n    "/x": {"mcpServers": {}}\n  }\n}'),
    "codex": (".codex/config.toml", 'model = "x" # mine\n\n[features]\nhooks = true\n'),
    "gemini-cli": (".gemini/settings.json", '{\n  // mine\n  "ui": {"theme": "x"}\n}\n'),
    "qwen-code": (".qwen/settings.json", '{\n  // mine\n  "ui": {"theme": "x"}\n}\n'),
    "opencode": (".config/opencode/opencode.json", '{\n  // mine\n  "theme": "x"\n}\n'),
}


@pytest.fixture
def home(person: Shell) -> Shell:
    """A shell with a home directory of its own."""
    folder = os.path.join(person.root, "home")
    os.makedirs(folder)
    return person.like(HOME=folder)


def file_of(home: Shell, agent: str) -> str:
    return os.path.join(home.environ["HOME"], FILES[agent][0])


def before(home: Shell, agent: str, text: str | None = None) -> str:
    """Write the file as it is before; its path."""
    path = file_of(home, agent)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(FILES[agent][1] if text is None else text)
    return path


def read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def entry(path: str) -> dict[str, Any]:
    text = read(path)
    document = tomllib.loads(text) if path.endswith(".toml") else json.loads(text.replace("// mine", ""))
    servers = document["mcp_servers" if path.endswith(".toml") else "mcp" if "opencode" in path else "mcpServers"]
    assert list(servers) == ["maestro"]
    found: dict[str, Any] = servers["maestro"]
    return found


@pytest.mark.parametrize("agent", AGENTS)
def test_the_entry_starts_a_server_that_answers(home: Shell, agent: str) -> None:
    path = before(home, agent)
    said = home.done("hooks", "install", agent, "--mcp").out
    assert f"Its MCP server is in {path}" in said
    found = entry(path)
    # With no more than what the agent that passes on the least would give it.
    kept = {name: home.environ[name] for name in ("PATH", "HOME", "MAESTRO_RUNTIME_DIR")}
    words = found["command"] if agent == "opencode" else [found["command"], *found["args"]]
    process = subprocess.Popen(words, env=kept, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    assert process.stdin is not None
    assert process.stdout is not None
    client = McpClient(process.stdout.fileno(), os.dup(process.stdin.fileno()))
    process.stdin.close()
    try:
        assert client.introduce()["serverInfo"]["name"] == "maestro"
        assert "(NO_SESSION)" in client.refused("sessions")
    finally:
        client.close()
        assert process.wait(20) == 0
        process.stdout.close()


@pytest.mark.parametrize("agent", AGENTS)
def test_the_variables_that_the_agent_would_keep_back(home: Shell, agent: str) -> None:
    path = before(home, agent)
    home.done("hooks", "install", agent, "--mcp")
    found = entry(path)
    if agent == "codex":
        assert {"MAESTRO_SESSION_ID", "MAESTRO_SESSION_TOKEN", "MAESTRO_DATA_DIR"} <= set(found["env_vars"])
    elif agent in ("gemini-cli", "qwen-code"):
        assert found["env"] == {"MAESTRO_SESSION_TOKEN": "$MAESTRO_SESSION_TOKEN"}
    elif agent == "opencode":
        assert (set(found), found["type"], found["enabled"]) == ({"type", "command", "enabled"}, "local", True)
    else:
        assert set(found) == {"type", "command", "args"}


@pytest.mark.parametrize("agent", AGENTS)
def test_uninstall_restores_every_byte(home: Shell, agent: str) -> None:
    path = before(home, agent)
    os.chmod(path, 0o640)
    home.done("hooks", "install", agent, "--mcp")
    first = read(path)
    home.done("hooks", "install", agent, "--mcp")
    home.done("hooks", "install", agent)
    assert read(path) == first, "a second installation changes nothing"
    assert path in home.done("hooks", "uninstall", agent).out
    assert read(path) == FILES[agent][1]
    assert os.stat(path).st_mode & 0o777 == 0o640
    assert [name for name in os.listdir(os.path.dirname(path)) if "before-maestro" in name] == []


@pytest.mark.parametrize("agent", AGENTS)
def test_a_file_that_was_not_there_goes_again(home: Shell, agent: str) -> None:
    home.done("hooks", "install", agent, "--mcp")
    path = file_of(home, agent)
    assert os.stat(path).st_mode & 0o777 == 0o600
    home.done("hooks", "uninstall", agent)
    assert not os.path.exists(path)


@pytest.mark.parametrize("agent", AGENTS)
def test_what_others_have_changed_since_stays(home: Shell, agent: str) -> None:
    path = before(home, agent)
    home.done("hooks", "install", agent, "--mcp")
    text = read(path)
    changed = text.replace('"x"', '"y"') if agent == "codex" else text.replace("{", '{"added": true,', 1)
    with open(path, "w", encoding="utf-8") as file:
        file.write(changed)
    home.done("hooks", "uninstall", agent)
    left = FILES[agent][1]
    assert read(path) == (left.replace('"x"', '"y"') if agent == "codex" else left.replace("{", '{"added": true,', 1))


def test_a_link_stays_a_link(home: Shell) -> None:
    real = os.path.join(home.root, "dotfiles.toml")
    path = file_of(home, "codex")
    os.makedirs(os.path.dirname(path))
    with open(real, "w", encoding="utf-8") as file:
        file.write(FILES["codex"][1])
    os.symlink(real, path)
    home.done("hooks", "install", "codex", "--mcp")
    assert os.path.islink(path)
    assert "[mcp_servers.maestro]" in read(real)
    home.done("hooks", "uninstall", "codex")
    assert os.path.islink(path)
    assert read(real) == FILES["codex"][1]


@pytest.mark.parametrize("agent", AGENTS)
def test_a_server_of_another_product_stops_the_installation(home: Shell, agent: str) -> None:
    key = "mcp" if agent == "opencode" else "mcpServers"
    text = f'{{"{key}": {{"maestro": {{"command": "maestro", "args": ["mcp"]}}}}}}'
    if agent == "codex":
        text = '[mcp_servers.maestro]\ncommand = "maestro"\nargs = ["mcp"]\n'
    path = before(home, agent, text)
    ran = home.run("hooks", "install", agent, "--mcp", "--json")
    assert (ran.code, ran.error()["code"]) == (4, "CONFLICT")
    assert read(path) == text
    assert home.run("hooks", "show", agent, "--json").json()["installed"] is False, "nothing was done"


@pytest.mark.parametrize("agent", AGENTS)
def test_a_file_that_can_not_be_read_stops_the_installation(home: Shell, agent: str) -> None:
    path = before(home, agent, "{ = ")
    ran = home.run("hooks", "install", agent, "--mcp", "--json")
    assert ran.error()["code"] == "FILE_UNREADABLE"
    assert path in ran.error()["message"]
    assert read(path) == "{ = "


@pytest.mark.parametrize("agent", AGENTS)
def test_what_is_shown(home: Shell, agent: str) -> None:
    shown = home.done("hooks", "show", agent, "--mcp")
    assert "does not have this yet" in shown.err
    home.done("hooks", "install", agent, "--mcp")
    again = home.done("hooks", "show", agent, "--mcp")
    assert "has this already" in again.err
    found = home.done("hooks", "show", agent, "--json").json()["mcp"]
    assert found == {"path": file_of(home, agent), "installed": True, "server": entry(file_of(home, agent))}
    if agent not in ("gemini-cli", "qwen-code"):  # their hooks are in the same file
        assert again.out == shown.out == read(file_of(home, agent))


@pytest.mark.parametrize("agent", AGENTS)
def test_a_dry_run_writes_nothing(home: Shell, agent: str) -> None:
    path = before(home, agent)
    said = home.done("hooks", "install", agent, "--mcp", "--dry-run").out
    assert "maestro-messaging" in said
    assert read(path) == FILES[agent][1]
    assert home.done("hooks", "install", agent, "--mcp", "--json").json()["mcp"] == {"path": path, "changed": True}
    assert home.done("hooks", "install", agent, "--mcp", "--json").json()["mcp"] == {"path": path, "changed": False}


def test_a_project_has_no_server_of_its_own(home: Shell) -> None:
    ran = home.run("hooks", "install", "claude-code", "--mcp", "--scope", "project", "--json")
    assert ran.error()["code"] == "INVALID"
    assert ran.error()["hint"] == "maestro hooks install claude-code --mcp"


def test_the_place_that_an_agents_own_variable_names(home: Shell) -> None:
    other = home.like(CLAUDE_CONFIG_DIR=os.path.join(home.root, "cc"), CODEX_HOME=os.path.join(home.root, "cx"))
    other.done("hooks", "install", "claude-code", "--mcp")
    other.done("hooks", "install", "codex", "--mcp")
    assert entry(os.path.join(home.root, "cc", ".claude.json"))
    assert entry(os.path.join(home.root, "cx", "config.toml"))


def test_the_usual_data_directory_is_not_named(home: Shell) -> None:
    usual = {name: value for name, value in home.environ.items() if name != "MAESTRO_DATA_DIR"}
    usual |= {"XDG_DATA_HOME": os.path.join(home.root, "share"), "MAESTRO_DATA_DIR": ""}
    home.run("hooks", "install", "codex", "--mcp", environ=usual)
    assert entry(file_of(home, "codex"))["args"] == ["mcp"]
    home.done("hooks", "install", "codex", "--mcp")
    assert entry(file_of(home, "codex"))["args"] == ["mcp", "--data", home.data]


def _finding(home: Shell, agent: str) -> dict[str, Any] | None:
    found = home.run("doctor", "--json").json()["findings"]
    return next((each for each in found if each["name"] == f"MCP server of {agent}"), None)


@pytest.mark.parametrize("agent", AGENTS)
def test_doctor_tries_the_server_of_each_agent(home: Shell, agent: str) -> None:
    before(home, agent)
    home.done("hooks", "install", agent, "--mcp")
    found = _finding(home, agent)
    assert found is not None
    assert (found["state"], "it answers after" in found["what"]) == ("ok", True)


def test_doctor_tries_the_server(home: Shell) -> None:
    before(home, "codex")
    assert _finding(home, "codex") is None, "a server is opt-in"
    home.done("hooks", "install", "codex", "--mcp")
    good = _finding(home, "codex")
    assert good is not None
    assert good["state"] == "ok"
    path = file_of(home, "codex")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    with open(path, "w", encoding="utf-8") as file:
        file.write(text.replace('"mcp"', '"mcp", "--data", "/elsewhere"'))
    old = _finding(home, "codex")
    assert old is not None
    assert (old["state"], old["repair"]) == ("warning", "maestro hooks install codex --mcp")
    with open(path, "w", encoding="utf-8") as file:
        file.write("a = ")
    unreadable = _finding(home, "codex")
    assert unreadable is not None
    assert unreadable["state"] == "warning"
