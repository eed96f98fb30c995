"""Package kind: the command that removes the program, by what its installer has left."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from maestro_cli.setup import package_kind

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("mark", "kind", "removal"), [
    ("pipx_metadata.json", "pipx", "pipx uninstall maestro-messaging"),
    ("uv-receipt.toml", "uv", "uv tool uninstall maestro-messaging"),
])  # fmt: skip
def test_installers_with_links_of_their_own(tmp_path: Path, mark: str, kind: str, removal: str) -> None:
    (tmp_path / mark).write_text("")
    found = package_kind.look(str(tmp_path), "/usr")
    assert (found.kind, found.removal, found.has_own_links) == (kind, removal, True)


def test_a_virtual_environment_in_a_clone(tmp_path: Path) -> None:
    prefix = tmp_path / "a clone" / ".venv"
    prefix.mkdir(parents=True)
    found = package_kind.look(str(prefix), "/usr", lambda: f"file://{tmp_path}/a%20clone")
    assert found.kind == "clone"
    assert found.removal.startswith(f"rm -r '{prefix}'")
    assert f"'{tmp_path}/a clone'" in found.removal
    # A clone elsewhere says nothing about this environment, which then has pip or not.
    for url in (f"file://{tmp_path}/other", "https://example.org/maestro.whl", ""):
        assert package_kind.look(str(prefix), "/usr", lambda url=url: url).kind == "environment"  # type: ignore[misc]


def test_an_environment_with_pip_and_one_without(tmp_path: Path) -> None:
    without = package_kind.look(str(tmp_path), "/usr", str)
    assert without.removal == f"uv pip uninstall --python {tmp_path}/bin/python maestro-messaging"
    pip = tmp_path / "bin" / "pip"
    pip.parent.mkdir()
    pip.write_text("")
    pip.chmod(0o755)
    found = package_kind.look(str(tmp_path), "/usr", str)
    assert found.removal == f"{pip} uninstall maestro-messaging"
    assert not found.has_own_links


def test_the_system_s_python(tmp_path: Path) -> None:
    found = package_kind.look(str(tmp_path), str(tmp_path))
    assert (found.kind, found.removal) == ("system", f"{sys.executable} -m pip uninstall maestro-messaging")


def test_the_running_program_is_one_of_them() -> None:
    assert "maestro-messaging" in package_kind.look().removal or "rm -r" in package_kind.look().removal
