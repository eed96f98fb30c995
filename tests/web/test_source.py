"""The page's sources: types, lint, size, what is vendored, and that no text can become markup or code."""

from __future__ import annotations

import glob
import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from support import components

from .install import directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HERE = os.path.dirname(os.path.abspath(__file__))
UI = os.path.abspath(os.path.join(HERE, *[os.pardir] * 2, "clients", "maestro_gateway", "web", "ui"))
VENDORED = os.path.join(UI, "vendor", "lit-html")
BYTES_MAX = 120 * 1024
LINES_MAX = 2_780
MODULE_LINES_MAX = 350
MODULES = sorted(glob.glob(os.path.join(UI, "*.js")))
NAMES = [os.path.basename(path) for path in MODULES]
# A text in a source that would be markup, code, or a style in an attribute, which the policy forbids.
FORBIDDEN = {
    r"\bstyle=": "a class, or SVG's own attributes",
    r"\b(inner|outer)HTML\b|insertAdjacentHTML|setHTMLUnsafe|document\.write": "a template of lit-html",
    r"\bunsafe(HTML|SVG|Static|MathML)\b": "a template of lit-html",
    r"\beval\(|\bnew Function\b|javascript:": "a function",
    r"\bon[a-z]+=[\"'$]": "a listener: `@click=${…}`",
    r"https?://|\bws://": "a path: nothing comes from another origin",
    r"@ts-(ignore|nocheck)|eslint-disable": "code that passes",
}
TYPE_OPTIONS = {
    "checkJs": True, "allowJs": True, "noEmit": True, "strict": True, "noUnusedLocals": True, "skipLibCheck": True,
    "target": "es2023", "module": "esnext", "moduleResolution": "bundler", "types": [],
    "lib": ["es2023", "dom", "dom.iterable"],
}  # fmt: skip


def text(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def files() -> Iterator[str]:
    """Every file that a browser may load."""
    for folder, _, names in os.walk(UI):
        yield from (os.path.join(folder, name) for name in names if not name.endswith(".d.ts"))


def tool(package: str, *inside: str) -> str:
    """A file of an installed npm package."""
    path = os.path.join(directory(), "node_modules", package, *inside)
    if not os.path.exists(path):
        components.missing(f"{package} is not installed (python3 tests/web/install.py)")
    return path


def node(program: str, *arguments: str, cwd: str) -> str:
    """Run a program of node; what it printed, empty where it has found nothing."""
    carried = glob.glob(os.path.join(directory(), "node_modules", "node-linux-*", "bin", "node"))
    done = subprocess.run(
        [carried[0] if carried else "node", program, *arguments],
        cwd=cwd, capture_output=True, text=True, timeout=100, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert (done.returncode == 0) == (not done.stdout), f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def checked(folder: Path, more: dict[str, str] | None = None) -> str:
    """What the type checker says of the page, with lit-html's own types beside it, and of further modules."""
    ui = folder / "ui"
    shutil.copytree(UI, ui, ignore=shutil.ignore_patterns("vendor"))
    for declared in glob.glob(os.path.join(tool("lit-html"), "**", "*.d.ts"), recursive=True):
        inside = os.path.relpath(declared, tool("lit-html"))
        if not inside.startswith(("node", "development")):
            target = ui / "vendor" / "lit-html" / inside
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(declared, target)
    for name, content in (more or {}).items():
        (ui / name).write_text(content)
    (folder / "tsconfig.json").write_text(json.dumps({"compilerOptions": TYPE_OPTIONS, "include": ["ui/*.js"]}))
    # For the packages that lit-html's types import.
    (folder / "node_modules").symlink_to(os.path.join(directory(), "node_modules"))
    return node(tool("typescript", "bin", "tsc"), "-p", ".", "--pretty", "false", cwd=str(folder))


def linted(folder: str, *paths: str) -> str:
    """What the linter says of modules in or below a folder."""
    config = os.path.join(folder, "eslint.config.mjs")
    return node(tool("eslint", "bin", "eslint.js"), "--max-warnings", "0", "--config", config, *paths, cwd=folder)


def test_the_types_hold(tmp_path: Path) -> None:
    assert checked(tmp_path) == ""


def test_the_type_checker_finds_a_fault(tmp_path: Path) -> None:
    wrong = (
        '/** @import { App } from "./types.js" */\n/** @param {App} app */\n'
        'export const wrong = (app) => app.state.link.state === "dead";\n'
    )
    assert "wrong.js" in checked(tmp_path, {"wrong.js": wrong})


def test_the_linter_finds_nothing(tmp_path: Path) -> None:
    shutil.copy(os.path.join(HERE, "eslint.config.mjs"), tmp_path)
    for path in MODULES:
        shutil.copy(path, tmp_path)
    assert linted(str(tmp_path), *NAMES) == ""


@pytest.mark.parametrize(
    "wrong",
    [
        "document.body.innerHTML = location.hash;",
        "setTimeout('alert(1)', 1);",
        "import { unsafeHTML } from './vendor/lit-html/directives/unsafe-html.js';\nexport { unsafeHTML };",
        "export const sum = (a, b) => a + c;",
    ],
)
def test_the_linter_finds_a_fault(wrong: str, tmp_path: Path) -> None:
    shutil.copy(os.path.join(HERE, "eslint.config.mjs"), tmp_path)
    (tmp_path / "wrong.js").write_text(wrong + "\n")
    assert "error" in linted(str(tmp_path), "wrong.js")


def code_lines(source: str) -> int:
    """The lines with code: what is more than a comment."""
    without = re.sub(r"/\*.*?\*/", "", source, flags=re.DOTALL)
    return sum(1 for line in without.splitlines() if line.strip() and not line.lstrip().startswith("//"))


def test_the_page_stays_small(capsys: pytest.CaptureFixture[str]) -> None:
    """In bytes as they are sent."""
    contents = {}
    for path in files():
        with open(path, "rb") as file:
            contents[os.path.relpath(path, UI)] = file.read()
    sent = {name: len(gzip.compress(content)) for name, content in contents.items()}
    lines = {name: code_lines(text(path)) for name, path in zip(NAMES, MODULES, strict=True)}
    whole = sum(map(len, contents.values()))
    with capsys.disabled():
        print(f"\nthe page: {sum(sent.values()):,} bytes of {BYTES_MAX:,} (unpacked {whole:,}),", end=" ")
        print(f"{sum(lines.values()):,} lines of {LINES_MAX:,}")
    assert sum(sent.values()) <= BYTES_MAX, sorted(sent.items(), key=lambda item: -item[1])[:12]
    assert sum(lines.values()) <= LINES_MAX, lines
    long = {name: text(path).count("\n") for name, path in zip(NAMES, MODULES, strict=True)}
    assert {name: count for name, count in long.items() if count > MODULE_LINES_MAX} == {}


def manifest() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text(os.path.join(VENDORED, "manifest.json")))
    return found


def test_the_manifest_lists_what_is_vendored() -> None:
    vendored = {os.path.relpath(path, VENDORED) for path in files() if path.startswith(VENDORED)}
    assert vendored - {"manifest.json"} == set(manifest()["sha256"])
    assert "LICENSE" in vendored
    for name, digest in manifest()["sha256"].items():
        with open(os.path.join(VENDORED, name), "rb") as file:
            assert hashlib.sha256(file.read()).hexdigest() == digest, name


def test_each_vendored_file_is_the_packages_own() -> None:
    package = json.loads(text(tool("lit-html", "package.json")))
    assert (package["name"], package["version"]) == (manifest()["package"], manifest()["version"])
    for name in manifest()["sha256"]:
        assert text(tool("lit-html", name)) == text(os.path.join(VENDORED, name)), name


def test_each_vendored_module_is_used() -> None:
    imported = "\n".join(
        text(path) for path in [*MODULES, *glob.glob(os.path.join(VENDORED, "**", "*.js"), recursive=True)]
    )
    unused = [
        name for name in manifest()["sha256"] if name.endswith(".js") and os.path.basename(name) not in imported
    ]
    assert unused == []


@pytest.mark.parametrize("name", [*NAMES, "index.html"])
def test_no_text_becomes_markup_or_code(name: str) -> None:
    source = text(os.path.join(UI, name))
    found = [
        f"{match[0]}: write {instead}" for sign, instead in FORBIDDEN.items() for match in re.finditer(sign, source)
    ]
    assert found == []


@pytest.mark.parametrize("name", NAMES)
def test_a_module_says_what_it_is(name: str) -> None:
    assert re.match(r"// [A-Z][A-Za-z ]*: [^\n]+\n", text(os.path.join(UI, name)))


def test_the_first_page_has_nothing_inline() -> None:
    source = text(os.path.join(UI, "index.html"))
    assert not re.search(r"<style|<script(?![^>]* src=)", source)
    # The browser loads every module at once, and not one level of imports after the other.
    loaded = set(re.findall(r'="/web/ui/([^"]+\.js)"', source))
    vendored = {f"vendor/lit-html/{name}" for name in manifest()["sha256"] if name.endswith(".js")}
    assert loaded == {*NAMES, *vendored}
    # Each file that it names is there.
    for path in re.findall(r'(?:href|src)="/web/ui/([^"]+)"', source):
        assert os.path.isfile(os.path.join(UI, path)), path
