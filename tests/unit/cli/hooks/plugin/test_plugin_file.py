"""The plugin file: the commands that are written into it are read back, and no other file is ours."""

from __future__ import annotations

import pytest

from maestro_cli.hooks import installation, settings_entries
from maestro_cli.hooks.agents import OPENCODE
from maestro_cli.hooks.plugin import plugin_file


@pytest.mark.parametrize("data", ["/data", "/d'ata", "/@notice@/@settings@", "/dätä/$(x)`y`", '/"data"'])
def test_what_is_written_is_read_back(data: str) -> None:
    entries = installation.entries(OPENCODE, data)
    text = plugin_file.text("opencode", entries)
    assert plugin_file.is_ours(text)
    read = settings_entries.own_entries(plugin_file.settings_in(text), comments=False)
    assert read == {event: [entry] for event, entry in entries.items()}


@pytest.mark.parametrize(
    "text", ["", "// mine", 'const settings = {"hooks": {}}', "\n// Written by `maestro hooks install opencode`"]
)
def test_another_file_is_not_ours(text: str) -> None:
    assert not plugin_file.is_ours(text)
    assert plugin_file.settings_in(text) == ""


def test_a_plugin_of_ours_without_settings_has_none() -> None:
    assert plugin_file.settings_in("// Written by `maestro hooks install opencode`.\n") == ""
