"""Hook installation: a plan is carried out only on the text that it was made for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from maestro_cli.hooks.installation import SettingsChange
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("planned", ["new", None])
@pytest.mark.parametrize("meanwhile", ["other", ""])
def test_a_file_that_has_changed_since_stays(tmp_path: Path, planned: str | None, meanwhile: str) -> None:
    path = tmp_path / "settings.json"
    path.write_text(meanwhile)
    with pytest.raises(MaestroError, match="changed by another program meanwhile"):
        SettingsChange(str(path), "old", planned).apply()
    assert path.read_text() == meanwhile


def test_a_file_that_came_or_went_since_stays(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    with pytest.raises(MaestroError):
        SettingsChange(str(path), "old", "new").apply()
    assert not path.exists()
    path.write_text("theirs")
    with pytest.raises(MaestroError):
        SettingsChange(str(path), None, "new").apply()
    assert path.read_text() == "theirs"


def test_what_another_call_has_done_already_is_done(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text("new")
    SettingsChange(str(path), "old", "new").apply()
    assert path.read_text() == "new"
