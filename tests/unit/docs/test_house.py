"""The house rules that a program can check."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), *[os.pardir] * 3))
FOLDERS = ("schemas", "broker", "clients", "cli", "tests")
PACKAGES = {
    "maestro_schemas": "schemas",
    "maestro_wire": "schemas",
    "maestro_runtime": "schemas",
    "maestro_broker": "broker",
    "maestro_clients": "clients",
    "maestro_gateway": "clients",
    "maestro_cli": "cli",
}
LINES_MAX = 500
FORBIDDEN_WORDS = {"manager", "helper", "helpers", "util", "utils", "common", "base", "service", "misc", "stuff"}
# Where a process or a thread begins, and so the only place that can tell somebody of what nobody foresaw.
BROAD_ALLOWED = {
    "broker/maestro_broker/__main__.py",
    "broker/maestro_broker/views/spool_writer.py",
    "cli/maestro_cli/main.py",
}


def tracked() -> list[str]:
    """Every file of the project, as a path from its root."""
    if not os.path.isdir(os.path.join(ROOT, ".git")):
        pytest.skip("not a git checkout")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    found = (name.decode() for name in done.stdout.split(b"\0") if name)
    return [name for name in found if os.path.exists(os.path.join(ROOT, name))]


def modules(*folders: str) -> list[str]:
    """The Python files under `folders`."""
    return [
        os.path.relpath(os.path.join(directory, name), ROOT)
        for folder in folders
        for directory, _, names in os.walk(os.path.join(ROOT, folder))
        for name in names
        if name.endswith(".py")
    ]


def text(path: str) -> str:
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def settings() -> dict[str, Any]:
    """pyproject.toml."""
    return tomllib.loads(text("pyproject.toml"))


MODULES = modules(*FOLDERS)
OURS = modules("schemas", "broker", "clients", "cli")


@pytest.mark.parametrize("path", MODULES)
def test_a_module_says_what_it_is_and_stays_small(path: str) -> None:
    source = text(path)
    if not source:
        assert path.endswith("__init__.py")
        return
    assert ast.get_docstring(ast.parse(source)), "the module has no docstring"
    # A file of tests is a list of cases, so it may be longer.
    allowed = LINES_MAX if path in OURS else 2 * LINES_MAX
    assert source.count("\n") <= allowed, f"the module has more than {allowed} lines: it has two nouns"


@pytest.mark.parametrize("path", OURS)
def test_a_module_says_its_rule(path: str) -> None:
    # A command's docstring is about the command, and a package's may be one line.
    if not os.path.basename(path).startswith("__") and "/commands/" not in path:
        assert "Rule:" in (ast.get_docstring(ast.parse(text(path))) or "")


@pytest.mark.parametrize("path", MODULES)
def test_names_say_what_a_thing_is(path: str) -> None:
    # The folders of commands are named as the command line is.
    names = re.split(r"[/_.]", re.sub(r"^cli/maestro_cli/commands/[a-z]+/", "", path))
    names += [
        word.lower()
        for node in ast.walk(ast.parse(text(path)))
        if isinstance(node, ast.ClassDef)
        for word in re.findall(r"[A-Z]?[a-z]+", node.name)
    ]
    assert FORBIDDEN_WORDS.isdisjoint(names)


@pytest.mark.parametrize("path", OURS)
def test_public_functions_are_described(path: str) -> None:
    missing = [
        node.name
        for node in _public(ast.parse(text(path)).body)
        if not ast.get_docstring(node) and not _is_overload(node)
    ]
    assert missing == []


def _public(body: list[ast.stmt]) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from _public(node.body)


def _is_overload(node: ast.AST) -> bool:
    names = [
        getattr(decorator, "id", getattr(decorator, "attr", "")) for decorator in getattr(node, "decorator_list", [])
    ]
    return "overload" in names or "setter" in names


@pytest.mark.parametrize("path", OURS)
def test_what_is_caught_is_named(path: str) -> None:
    broad = [
        node.lineno
        for node in ast.walk(ast.parse(text(path)))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or _names(node.type) & {"Exception", "BaseException"})
    ]
    assert len(broad) <= (1 if path in BROAD_ALLOWED else 0), f"broad except in lines {broad}"


def _names(node: ast.expr) -> set[str]:
    return {found.id for found in ast.walk(node) if isinstance(found, ast.Name)}


@pytest.mark.parametrize("path", OURS)
def test_no_module_changes_its_globals(path: str) -> None:
    assert [node.lineno for node in ast.walk(ast.parse(text(path))) if isinstance(node, ast.Global)] == []


def test_coverage_counts_the_core_of_the_contract() -> None:
    listed = re.search(r'^covered_whole := "(.*)"$', text("Justfile"), re.MULTILINE)
    [contract] = [found for found in _contracts() if found["type"] == "forbidden"]
    assert listed is not None
    assert contract["source_modules"] == ["maestro_broker.core"]
    assert "*/maestro_broker/core/*" in listed[1].split(",")


def _contracts() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = settings()["tool"]["importlinter"]["contracts"]
    return found


@pytest.mark.parametrize(
    ("module", "line", "broken"),
    [
        ("schemas/maestro_schemas/names.py", "import maestro_clients", "cli and gateway -> clients"),
        ("schemas/maestro_schemas/names.py", "import maestro_broker", "broker -> runtime"),
        ("schemas/maestro_schemas/names.py", "import maestro_runtime.paths", "broker -> runtime"),
        ("clients/maestro_clients/protocol/new_ids.py", "import maestro_cli", "cli and gateway -> clients"),
        ("clients/maestro_clients/protocol/new_ids.py", "import maestro_gateway", "cli and gateway -> clients"),
        ("clients/maestro_clients/protocol/new_ids.py", "import maestro_broker.core", "only the broker"),
        ("broker/maestro_broker/server/daemon.py", "import maestro_clients.client", "only the broker"),
        ("cli/maestro_cli/output/streams.py", "import maestro_broker.core", "only the broker"),
        ("cli/maestro_cli/output/streams.py", "import maestro_gateway.app", "cli and gateway -> clients"),
        ("broker/maestro_broker/views/spool.py", "import maestro_broker.server.loop", "inside the broker"),
        ("broker/maestro_broker/core/validation.py", "import os", "the core does no I/O"),
        ("broker/maestro_broker/core/commands.py", "from time import monotonic", "the core does no I/O"),
        ("broker/maestro_broker/core/model/mailbox.py", "import maestro_broker.files.disk", "the core does no I/O"),
    ],
)
def test_a_broken_contract_is_noticed(module: str, line: str, broken: str, tmp_path: Any) -> None:
    for folder in dict.fromkeys(PACKAGES.values()):
        shutil.copytree(os.path.join(ROOT, folder), tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(os.path.join(ROOT, "pyproject.toml"), tmp_path)
    with open(tmp_path / module, "a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
    path = os.pathsep.join(str(tmp_path / folder) for folder in dict.fromkeys(PACKAGES.values()))
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(rf"{re.escape(broken)}.* BROKEN", done.stdout), done.stdout


def test_no_file_names_this_machine_or_a_registry() -> None:
    # Put together here, so that this file does not name them either.
    hosts = ["pypi" + ".org", "python" + "hosted.org", "npm" + "js.org", "npm" + "js.com", "crates" + ".io"]
    places = ["/wo" + "rk/", "/ho" + "me/[a-z]+/[a-z]", "/Us" + "ers/[a-z]+/[a-z]", "/ro" + "ot/", "/tm" + "p/venv"]
    pattern = re.compile("|".join([*map(re.escape, hosts), *places]))
    found = []
    for path in tracked():
        try:
            lines = text(path).splitlines()
        except UnicodeDecodeError:
            continue
        found += [f"{path}:{number}: {line.strip()}" for number, line in enumerate(lines, 1) if pattern.search(line)]
    assert [line for line in found if not line.startswith("tests/unit/runtime/test_paths.py")] == []


def test_versions_are_ranges() -> None:
    project = settings()["project"]
    wanted = [
        *project["dependencies"],
        *(one for extra in project["optional-dependencies"].values() for one in extra),
    ]
    for requirement in wanted:
        if requirement.startswith("maestro-messaging["):
            continue  # another extra of ours
        assert re.fullmatch(r"[a-z0-9-]+>=[\d.]+,<\d+", requirement), requirement


def test_one_version_is_told_everywhere() -> None:
    found = re.search(r'^__version__ = "(.+)"$', text("schemas/maestro_schemas/__init__.py"), re.MULTILINE)
    assert found is not None
    assert settings()["project"]["version"] == found[1]
    assert found[1] in text("CHANGELOG.md")


def test_nothing_is_left_to_do_later() -> None:
    word = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
    assert [path for path in MODULES if word.search(text(path))] == []


def test_decisions_are_numbered_without_gaps() -> None:
    names = sorted(os.listdir(os.path.join(ROOT, "docs", "decisions")))
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))
