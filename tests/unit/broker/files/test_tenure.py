"""Tenure: what a broker makes again, and without what it must end."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from maestro_broker.files.address_file import AddressFile
from maestro_broker.files.data_lock import DataLock
from maestro_broker.files.tenure import Tenure
from maestro_schemas.errors import FatalError, MaestroError

if TYPE_CHECKING:
    from pathlib import Path


class Scene:
    """A broker's claims in a directory. `sockets`: the next results of making them again."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.warnings: list[str] = []
        self.sockets: list[list[str] | MaestroError] = []
        self.address = AddressFile(str(data), None)
        self.lock = DataLock(str(data))
        self.lock.acquire(0.0)
        self.tenure = Tenure(self.lock, self.address, self._restore, self.warnings.append)

    def _restore(self) -> list[str]:
        result = self.sockets.pop(0) if self.sockets else []
        if isinstance(result, MaestroError):
            raise result
        return result


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_with_everything_in_place_nothing_is_said(scene: Scene) -> None:
    scene.address.publish({"pid": 1})
    scene.tenure.look()
    assert scene.warnings == []


def test_what_is_made_again_is_reported(scene: Scene) -> None:
    scene.address.publish({"pid": 1})
    os.unlink(scene.data / "endpoints")
    scene.sockets.append(["/run/x/broker.sock"])
    scene.tenure.look()
    assert ["/run/x/broker.sock" in scene.warnings[0], "endpoints" in scene.warnings[1]] == [True, True]
    assert (scene.data / "endpoints").exists()


def test_without_sockets_it_ends(scene: Scene) -> None:
    scene.sockets.append(MaestroError("NOT_PRIVATE", "another user's", "Move it."))
    with pytest.raises(FatalError, match=r"sockets were removed.*another user's") as caught:
        scene.tenure.look()
    assert (caught.value.code, caught.value.hint[:8]) == ("NOT_PRIVATE", "Move it.")


def test_without_its_lock_it_ends(scene: Scene) -> None:
    os.unlink(scene.data / "broker.lock")
    with pytest.raises(FatalError, match=r"broker\.lock"):
        scene.tenure.look()


def test_an_address_that_cannot_be_written_is_tried_again(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.address.publish({"pid": 1})
    os.unlink(scene.data / "endpoints")
    (scene.data / "endpoints.tmp").mkdir()
    scene.tenure.look()
    assert "can't be written again" in scene.warnings[0]
    (scene.data / "endpoints.tmp").rmdir()
    scene.tenure.look()
    assert (scene.data / "endpoints").exists()
