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
    from collections.abc import Iterable, Iterator

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
# Unit tests of no one module: schemas/golden against the package.
_OF_THE_WHOLE_PACKAGE = ("golden_vectors",)
# What a contract of import-linter is about; exceptions (`ignore_imports`) name modules.
_LISTS = ("source_modules", "forbidden_modules", "modules", "layers", "containers")
MODULES_OF_A_FOLDER_MAX = 15
FORBIDDEN_WORDS = {"manager", "helper", "helpers", "util", "utils", "common", "base", "service", "misc", "stuff"}
# A process or a thread begins here, so this is the only place that can report an unexpected exception.
BROAD_ALLOWED = {
    "broker/maestro_broker/__main__.py",
    "broker/maestro_broker/files/markers.py",
    "broker/maestro_broker/views/spool_writer.py",
    # A defect in one upload must not end the others.
    "broker/maestro_broker/attachments/blob_finisher.py",
    # A defect of waking must not end the broker.
    "broker/maestro_broker/server/waking/wake_task.py",
    "broker/maestro_broker/waking/waker.py",
    "cli/maestro_cli/main.py",
    "cli/maestro_cli/mcp/tool_run.py",
    # A defect in one check must not hide what the others have found.
    "cli/maestro_cli/doctor/checks.py",
}

# Words and phrases of the old dialect, each with what to write in its place. They are searched in code, tests and
# documents, as whole words, in names too (`_` separates words), and across line ends.
WORDS = {
    "whoever": "the sender, the client, the caller",
    "whomever": "the receiver, the peer",
    "nobody": "no client, no session",
    "somebody": "a person, a client",
    "anew": "again",
    "told": "reported, answered, notified",
    "so many": "the number's name",
    "so long": "the time or its name",
    "let go": "released",
}
# Where one of the words may stand, and why: (path, a part of the line).
WORDS_ALLOWED: dict[tuple[str, str], str] = {}
# Not cleaned yet: a path, or a folder with a slash at its end.
WORDS_LEFT: tuple[str, ...] = ()
# Generated, or bytes in which a word means nothing; and this file, which lists the words.
WORDS_SKIPPED = ("docs/performance/run.json", "schemas/golden/", "tests/unit/docs/test_house.py")
CIRCLES_LEFT: tuple[str, ...] = ()
# One public class name used for two things, and why: none.
CLASS_NAMES_TWICE: dict[str, str] = {}


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
    docstring = ast.get_docstring(ast.parse(source))
    assert docstring, "the module has no docstring"
    if "never edited" in docstring:
        return  # it is generated, and as long as what it is made from
    # A file of tests is a list of cases, so it may be longer.
    allowed = LINES_MAX if path in OURS else 2 * LINES_MAX
    assert source.count("\n") <= allowed, f"the module has more than {allowed} lines: it has two nouns"


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


def test_no_word_of_the_old_dialect() -> None:
    pattern = re.compile(r"\b(" + "|".join(word.replace(" ", r"[\s#]+") for word in WORDS) + r")\b", re.IGNORECASE)
    found, left = [], dict.fromkeys(WORDS_LEFT, 0)
    for path in _with_words():
        # Of the same length, so that positions stay what they are.
        searched = text(path).replace("_", " ")
        lines = text(path).splitlines()
        for match in pattern.finditer(searched):
            number = searched.count("\n", 0, match.start())
            folder = next(
                (one for one in WORDS_LEFT if path == one or (one[-1] == "/" and path.startswith(one))), None
            )
            if folder is not None:
                left[folder] += 1
            elif not any(path == where and part in lines[number] for where, part in WORDS_ALLOWED):
                word = re.sub(r"[\s#]+", " ", match[1].lower())
                found.append(f"{path}:{number + 1}: {match[1]!r}: write {WORDS[word]}: {lines[number].strip()}")
    print("not cleaned yet:", {path: count for path, count in left.items() if count})
    assert not found, "\n".join(found)


def _with_words() -> Iterator[str]:
    for path in tracked():
        is_read = path.endswith((".py", ".md", ".sh", ".css", ".js", ".html", ".json", ".toml")) or path in (
            "Justfile",
            ".ci/run",
        )
        if is_read and not path.startswith(WORDS_SKIPPED):
            yield path


def test_unit_tests_mirror_the_source() -> None:
    """`tests/unit/broker/core/test_threads*.py` tests `maestro_broker/core/threads.py`, or a folder of that name."""
    folders = {name.removeprefix("maestro_"): f"{folder}/{name}" for name, folder in PACKAGES.items()}
    known = {path.removesuffix(".py") for path in OURS} | {os.path.dirname(path) for path in OURS}
    misplaced = []
    for path in modules("tests/unit"):
        package, *inside = os.path.dirname(path).split("/")[2:]
        name = os.path.basename(path).removesuffix(".py").removeprefix("test_")
        if package == "docs" or name in ("conftest", *_OF_THE_WHOLE_PACKAGE):
            continue
        words = name.split("_")
        names = ["_".join(words[:count]) for count in range(1, len(words) + 1)]
        if known.isdisjoint("/".join([folders[package], *inside, one]) for one in names):
            misplaced.append(path)
    assert misplaced == []


def test_a_folder_holds_few_modules() -> None:
    folders = [os.path.dirname(path) for path in OURS if os.path.basename(path) != "__init__.py"]
    counts = {folder: folders.count(folder) for folder in set(folders)}
    assert {folder: count for folder, count in counts.items() if count > MODULES_OF_A_FOLDER_MAX} == {}


def test_settings_name_packages_and_no_modules() -> None:
    """A list of modules would have to be changed with each new one."""
    named = {
        name for contract in _contracts() for key in _LISTS for one in contract.get(key, []) for name in one.split()
    }
    named |= set(re.findall(r"maestro_[a-z]+(?:/[a-z_]+)*", _covered_whole()))
    modules = {_module(path) for path in OURS if not path.endswith("/__init__.py")}
    assert named & {"maestro_broker", "maestro_broker.core", "maestro_broker/core"}
    assert {name.replace("/", ".") for name in named} & modules == set()


def test_no_imports_go_round_in_a_circle() -> None:
    """Imports inside functions count too; those for types alone don't."""
    modules_by_name = {_module(path): path for path in OURS}
    imports = {name: set(_imported(name, path, modules_by_name)) - {name} for name, path in modules_by_name.items()}
    found = _circles(imports)
    print("circles that are still to be opened:", [circle for circle in found if circle[0].startswith(CIRCLES_LEFT)])
    assert [circle for circle in found if not circle[0].startswith(CIRCLES_LEFT)] == []


def _module(path: str) -> str:
    """The dotted name of a source file."""
    name = path.partition("/")[2].removesuffix(".py").replace("/", ".")
    return name.removesuffix(".__init__")


def _imported(name: str, path: str, known: Iterable[str]) -> Iterator[str]:
    package = name if path.endswith("/__init__.py") else name.rpartition(".")[0]
    for node in _run_time_nodes(ast.parse(text(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            above = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
            source = ".".join(filter(None, [above, node.module]))
            for alias in node.names:
                whole = f"{source}.{alias.name}"
                if whole in known:
                    yield whole
                elif source in known:
                    yield source


def _run_time_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            for other in node.orelse:
                yield from _run_time_nodes(other)
        else:
            yield node
            yield from _run_time_nodes(node)


def _circles(imports: dict[str, set[str]]) -> list[list[str]]:
    """The groups of modules each of which reaches all others of its group."""
    reached = {name: _reached(name, imports) for name in imports}
    groups = {tuple(sorted(other for other in found if name in reached[other])) for name, found in reached.items()}
    return sorted(list(group) for group in groups if group)


def _reached(name: str, imports: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    ahead = [name]
    while ahead:
        new = imports[ahead.pop()] - found
        found |= new
        ahead += new
    return found


def test_a_class_name_means_one_thing() -> None:
    places: dict[str, list[str]] = {}
    for path in OURS:
        for node in ast.parse(text(path)).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(path)
    assert {name: found for name, found in places.items() if len(found) > 1 and name not in CLASS_NAMES_TWICE} == {}


@pytest.mark.parametrize("path", OURS)
def test_except_clauses_name_what_they_catch(path: str) -> None:
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
    [contract] = [found for found in _contracts() if found["type"] == "forbidden"]
    assert contract["source_modules"] == ["maestro_broker.core"]
    assert "*/maestro_broker/core/*" in _covered_whole().split(",")


def _covered_whole() -> str:
    found = re.search(r'^covered_whole := "(.*)"$', text("Justfile"), re.MULTILINE)
    assert found is not None
    return found[1]


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
        ("broker/maestro_broker/views/spool.py", "import maestro_broker.server.daemon", "inside the broker"),
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
        assert re.fullmatch(r"[a-z0-9-]+>=[\d.]+,<\d+(\.\d+)?", requirement), requirement


def test_one_version_is_shown_everywhere() -> None:
    found = re.search(r'^__version__ = "(.+)"$', text("schemas/maestro_schemas/__init__.py"), re.MULTILINE)
    assert found is not None
    assert "version" in settings()["project"]["dynamic"]
    assert found[1] in text("CHANGELOG.md")


def test_nothing_is_left_to_do_later() -> None:
    word = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
    assert [path for path in MODULES if word.search(text(path))] == []


def test_decisions_are_numbered_without_gaps() -> None:
    names = sorted(os.listdir(os.path.join(ROOT, "docs", "decisions")))
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))
