"""docs/architecture.md names only packages, modules and recipes that exist."""

from __future__ import annotations

import os
import re

import pytest

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), *[os.pardir] * 3))
with open(os.path.join(ROOT, "docs", "architecture.md"), encoding="utf-8") as page:
    PAGE = page.read()

TOP = ("schemas", "broker", "clients", "cli", "tests", "docs")
SPANS = set(re.findall(r"`([^`\n]+)`", PAGE))
PATHS = sorted(span.split("/<")[0] for span in SPANS if span.split("/")[0] in TOP and "/" in span)


@pytest.mark.parametrize("path", PATHS)
def test_a_named_path_exists(path: str) -> None:
    assert os.path.exists(os.path.join(ROOT, path)), f"{path} is not there"


def test_a_file_named_by_its_last_part_exists() -> None:
    short = {span for span in SPANS if re.fullmatch(r"[a-z_/]+\.(py|toml)", span)} - set(PATHS)
    names = {
        os.path.relpath(os.path.join(folder, name), ROOT)
        for top in TOP
        for folder, _, files in os.walk(os.path.join(ROOT, top))
        for name in files
    } | set(os.listdir(ROOT))
    assert [name for name in short if not any(f"/{path}".endswith(f"/{name}") for path in names)] == []


@pytest.mark.parametrize(
    ("folder", "inside"),
    [
        (
            "broker/maestro_broker",
            (
                "server",
                "migration",
                "views",
                "attachments",
                "commit",
                "transport",
                "outbox",
                "waking",
                "index",
                "core",
                "files",
            ),
        ),
        (
            "clients/maestro_clients",
            (
                "attachments",
                "channel",
                "exports",
                "mailbox",
                "mcp",
                "outbox",
                "processes",
                "protocol",
                "texts",
                "transports",
            ),
        ),
        ("clients/maestro_gateway", ("api", "docs", "events", "http")),
        (
            "cli/maestro_cli",
            (
                "addressing",
                "archive",
                "commands",
                "completion",
                "demo",
                "doctor",
                "help",
                "history",
                "hooks",
                "inbox",
                "mcp",
                "output",
                "presence",
                "processes",
                "sending",
                "setup",
                "shapes",
                "templates",
                "waking",
            ),
        ),
    ],
)
def test_the_drawing_has_every_package(folder: str, inside: tuple[str, ...]) -> None:
    found = {
        name
        for name in os.listdir(os.path.join(ROOT, folder))
        if os.path.exists(os.path.join(ROOT, folder, name, "__init__.py"))
    }
    assert found == set(inside)
    drawing = PAGE.split("```")[1]
    assert [name for name in inside if name not in drawing] == []


def test_the_recipes_exist() -> None:
    with open(os.path.join(ROOT, "Justfile"), encoding="utf-8") as file:
        recipes = set(re.findall(r"^([a-z]+)[^:=\n]*:", file.read(), re.MULTILINE))
    assert {span.split()[1] for span in SPANS if span.startswith("just ")} <= recipes


def test_there_are_paths_to_check() -> None:
    assert len(PATHS) > 40


def test_its_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", PAGE)
    assert [link for link in links if not os.path.exists(os.path.join(ROOT, "docs", link))] == []
