"""The empty frame that a REQ puts before each request."""

from __future__ import annotations

import pytest

from maestro_broker.transport.listener import DelimitedPeer, without_delimiter


def test_the_delimiter_of_a_request_is_kept_for_its_reply() -> None:
    assert without_delimiter("peer", [b"", b"M1", b"1"]) == (DelimitedPeer("peer"), [b"M1", b"1"])


@pytest.mark.parametrize("frames", [[b"M1", b"", b"hello"], [b""], [b"M1"]])
def test_other_frames_stay_as_they_are(frames: list[bytes]) -> None:
    assert without_delimiter("peer", frames) == ("peer", frames)
