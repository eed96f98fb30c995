"""The origins of pages that the settings admit."""

from __future__ import annotations

import pytest

from maestro_schemas import http_limits
from maestro_schemas.errors import MaestroError


def test_a_list_of_origins() -> None:
    text = " HTTP://localhost:1420 ,tauri://localhost,, https://[::1]:8443"
    assert http_limits.parse_origins("origins", text) == (
        "http://localhost:1420",
        "tauri://localhost",
        "https://[::1]:8443",
    )
    assert http_limits.parse_origins("origins", "") == ()


@pytest.mark.parametrize("text", ["*", "https://*", "https://*.example", "http://localhost:*", "NULL"])
def test_what_means_every_page_is_refused_in_words(text: str) -> None:
    with pytest.raises(MaestroError, match="pages that you do not know"):
        http_limits.front({}, {"origins": f"tauri://localhost, {text}"})


@pytest.mark.parametrize(
    "text", ["localhost", "http://localhost/", "http://me@localhost", "http://localhost:port", "//localhost", "a b"]
)
def test_what_is_no_origin_is_refused(text: str) -> None:
    with pytest.raises(MaestroError, match="is no origin"):
        http_limits.front({"MAESTRO_HTTP_ORIGINS": text}, {})


def test_the_setting_has_a_source() -> None:
    values, sources = http_limits.front({"MAESTRO_HTTP_ORIGINS": "tauri://localhost"}, {"origins": "http://a"})
    assert (values["origins"], sources["origins"]) == ("tauri://localhost", "environment")
    assert http_limits.front({}, {})[0]["origins"] == ""
