"""What the gateway uses of uvicorn without a documented promise is there in the installed release."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import re
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from maestro_gateway.http.server import UNDOCUMENTED

ROOT = Path(__file__).parents[4]


def found(name: str) -> Any:
    """The object that a dotted name stands for; fails with the name where there is none."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            value: Any = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            if not hasattr(value, part):
                # An attribute that only an instance has.
                value = value() if isinstance(value, type) else value
            assert hasattr(value, part), f"uvicorn {version('uvicorn')} has no {name}: look at http/server.py"
            value = getattr(value, part)
        return value
    raise AssertionError(f"no module of {name}")


@pytest.mark.parametrize("name", UNDOCUMENTED)
def test_each_undocumented_name_is_there(name: str) -> None:
    assert found(name) is not None


def test_uvicorns_protocol_is_made_and_used_as_before() -> None:
    protocol = found("uvicorn.protocols.http.httptools_impl.HttpToolsProtocol")
    assert issubclass(protocol, asyncio.Protocol)
    assert list(inspect.signature(protocol).parameters) == ["config", "server_state", "app_state", "_loop"]
    assert found("uvicorn.server.ServerState.connections") == set()
    assert inspect.iscoroutinefunction(found("uvicorn.server.Server.shutdown"))


def test_only_the_release_that_was_looked_at_may_be_installed() -> None:
    """One minor release of uvicorn, the one that is installed here."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    [wanted] = [line for line in project["dependencies"] if line.startswith("uvicorn")]
    match = re.fullmatch(r"uvicorn>=0\.(\d+),<0\.(\d+)", wanted)
    assert match is not None
    assert int(match[2]) == int(match[1]) + 1
    assert version("uvicorn").split(".")[:2] == ["0", match[1]]


def test_the_names_stand_in_the_documentation() -> None:
    text = (ROOT / "docs" / "http-security.md").read_text()
    assert [name for name in UNDOCUMENTED if f"`{name}`" not in text] == []
