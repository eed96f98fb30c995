"""Links in the documents: each leads to a file of the repository, and to a heading in it."""

from __future__ import annotations

import os
import re
import subprocess

import pytest

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), *[os.pardir] * 3))
_FENCE = re.compile(r"^(`{3,})[^\n]*\n.*?^\1`*$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
_LINK = re.compile(r"\]\(([^()\s]+(?:\([^()\s]*\)[^()\s]*)*)(?:\s+\"[^\"]*\")?\)")
_HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)


def documents() -> list[str]:
    """Every Markdown file of the project, as a path from its root."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        return []
    found = {name.decode() for name in done.stdout.split(b"\0") if name}
    return sorted(name for name in found if os.path.exists(os.path.join(ROOT, name)))


def without_code(text: str) -> str:
    return _CODE.sub("", _FENCE.sub("", text))


def links(text: str) -> list[str]:
    """The targets of a document's links and images; those in examples of code are none."""
    return _LINK.findall(without_code(text))


def anchors(text: str) -> set[str]:
    """The names by which a forge reaches the headings of a document."""
    found: dict[str, int] = {}
    names = set()
    for heading in _HEADING.findall(_FENCE.sub("", text)):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").replace("*", "")
        name = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        count = found.get(name, 0)
        found[name] = count + 1
        names.add(f"{name}-{count}" if count else name)
    return names


def dead(path: str, text: str, root: str = ROOT) -> list[str]:
    """The links of a document at `path` that lead nowhere."""
    found = []
    for link in links(text):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        file = os.path.normpath(os.path.join(root, os.path.dirname(path), target)) if target else None
        if file is not None and not os.path.exists(file):
            found.append(link)
        elif anchor:
            inside = text
            if file is not None:
                with open(file, encoding="utf-8") as opened:
                    inside = opened.read()
            if anchor not in anchors(inside):
                found.append(link)
    return found


@pytest.mark.parametrize("path", documents())
def test_each_link_leads_somewhere(path: str) -> None:
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        assert dead(path, file.read()) == []


def test_there_are_documents_with_links() -> None:
    found = documents()
    if not found:
        pytest.skip("not a git checkout")
    assert "README.md" in found
    assert "docs/guide/README.md" in found


@pytest.mark.parametrize(
    ("text", "lost"),
    [
        ("[a](there.md)", []),
        ("[a](gone.md)", ["gone.md"]),
        ("[a](there.md#two-words)", []),
        ("[a](there.md#no-words)", ["there.md#no-words"]),
        ("# Here\n[a](#here)", []),
        ("# Here\n[a](#there)", ["#there"]),
        ("![a](gone.png)", ["gone.png"]),
        ("# Is `code` it?\n[a](#is-code-it)", []),
        ("# A\n# A\n[a](#a-1)", []),
        ("`[a](gone.md)`", []),
        ("```\n[a](gone.md)\n```", []),
        ("[a](https://example.org/gone)", []),
    ],
)
def test_a_dead_link_is_noticed(text: str, lost: list[str], tmp_path: os.PathLike[str]) -> None:
    with open(os.path.join(tmp_path, "there.md"), "w", encoding="utf-8") as file:
        file.write("## Two words\n")
    assert dead("page.md", text, os.fspath(tmp_path)) == lost
