"""The broker's options: file, environment, flags."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from maestro_broker.server import options
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from pathlib import Path


def test_a_flag_overrides_the_environment_which_overrides_the_file(tmp_path: Path) -> None:
    """Each option says where it came from; a bad one is a typed error."""
    config = tmp_path / "config.toml"
    config.write_text("[limits]\nrate_limit = 20\npending_max = 7\nrequire_token = true\n")
    environ = {"MAESTRO_CONFIG": str(config), "MAESTRO_RATE_LIMIT": "30", "MAESTRO_RUNTIME_DIR": "/tmp/r"}
    chosen = options.resolve(str(tmp_path), {"retention": "2d"}, environ)
    assert (chosen.limits.rate_limit, chosen.limits.pending_max, chosen.limits.require_token) == (30, 7, 1)
    assert chosen.limits.retention_ms == 2 * 86_400_000
    assert [chosen.origins[name] for name in ("rate_limit", "pending_max", "retention_ms", "text_chars_max")] == [
        "environment", "config", "flag", "default",
    ]  # fmt: skip
    assert options.resolve(None, {}, {"MAESTRO_DATA_DIR": "/tmp/d", "MAESTRO_CONFIG": "/nowhere"}).data == "/tmp/d"
    for text in ("[limits]\nrate_limt = 1", "rate_limit = 1", "limits = 3", "not toml"):
        config.write_text(text)
        with pytest.raises(MaestroError) as caught:
            options.resolve(str(tmp_path), {}, environ)
        assert caught.value.code == "BAD_SETTING"
        assert caught.value.hint
