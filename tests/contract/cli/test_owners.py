"""Owners: a user's post office is that user's alone."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from support.users import OtherUser


def test_another_user_has_a_post_office_of_its_own(other_user: OtherUser) -> None:
    up = other_user.maestro("up")
    assert up.returncode == 0, up
    data = other_user.path(".local", "share", "maestro")
    assert other_user.call(os.listdir, data)
    assert os.stat(data).st_uid == other_user.uid
    down = other_user.maestro("down")
    assert (down.returncode, down.stderr) == (0, "")
