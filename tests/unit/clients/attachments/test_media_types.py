"""Media types: by the extension alone, and the same on every machine."""

from __future__ import annotations

import pytest

from maestro_clients.attachments.media_types import media_type


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("cart.patch", "text/x-patch"),
        ("CART.PATCH", "text/x-patch"),
        ("shot.png", "image/png"),
        ("report.md", "text/markdown"),
        ("data.json", "application/json"),
        ("logs.tar.gz", "application/gzip"),
        ("old.Z", "application/octet-stream"),
        ("Makefile", "application/octet-stream"),
        ("x.unheard-of", "application/octet-stream"),
        ("data:text,png", "application/octet-stream"),
    ],
)
def test_a_type_follows_from_the_name(name: str, found: str) -> None:
    assert media_type(name) == found
