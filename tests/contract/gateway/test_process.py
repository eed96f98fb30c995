"""The gateway's process: its start, its end, and the files of a killed one."""

from __future__ import annotations

import fcntl
import os
import threading
from typing import TYPE_CHECKING

import pytest

from maestro_clients.processes import gateway_process
from maestro_runtime import paths
from maestro_schemas.errors import MaestroError
from support.gateways import Gateway

if TYPE_CHECKING:
    from support.post_office import PostOffice


def test_start_and_stop_at_once(open_office: PostOffice) -> None:
    """A gateway that is stopped at the moment of its report ends in order, while other processes look for it."""
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            gateway_process.find(open_office.data)

    looker = threading.Thread(target=look)
    looker.start()
    try:
        for _ in range(10):
            gateway = Gateway(open_office)
            gateway.start()
            assert gateway.stop() == 0
            assert not os.path.exists(paths.server_url_file(open_office.data))
    finally:
        done.set()
        looker.join()


def test_the_address_of_one_that_was_killed_is_gone_at_the_next_start(open_office: PostOffice) -> None:
    """Also where the start fails."""
    gateway = Gateway(open_office)
    gateway.start()
    gateway.kill()
    assert os.path.exists(paths.server_url_file(open_office.data))
    with pytest.raises(MaestroError, match="can't be listened on"):
        Gateway(open_office, "--host", "192.0.2.1").start()
    assert not os.path.exists(paths.server_url_file(open_office.data))


def test_two_processes_that_look_for_a_gateway_do_not_find_each_other(open_office: PostOffice) -> None:
    """The lock file has the pid of a process that has ended."""
    with Gateway(open_office):
        pass
    fd = os.open(paths.gateway_lock_file(open_office.data), os.O_RDWR)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)
        assert gateway_process.find(open_office.data) is None
    finally:
        os.close(fd)


def test_a_second_one_is_refused(open_office: PostOffice) -> None:
    with Gateway(open_office) as first:
        with pytest.raises(MaestroError) as refusal:
            Gateway(open_office).start()
        assert refusal.value.code == "DATA_DIR_LOCKED"
        found = gateway_process.find(open_office.data)
        assert found is not None
        assert (found.pid, found.url) == (first.pid, first.url), "it has taken nothing away"
