"""The data directory's format: updated step by step, or refused with a next step."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from maestro_broker.files import data_dir, disk
from maestro_broker.migration.steps import STEPS
from maestro_schemas import DATA_FORMAT_VERSION
from maestro_schemas.errors import MaestroError

# Two repeatable steps, and a process that dies before each system call in turn. Each is a fork, because a new
# interpreter for every call would take twenty seconds.
_KILLED = """
import os, sys
from maestro_broker.files import data_dir, disk
from maestro_runtime import atomic_file

left = -1

def step(name):
    def run(data):
        atomic_file.replace(os.path.join(data, name), b"done", durable=True)
    return run

def mortal(call):
    def run(*args, **kwargs):
        global left
        if left == 0:
            os._exit(9)
        left -= 1
        return call(*args, **kwargs)
    return run

for name in ("open", "write", "fsync", "rename", "close"):
    setattr(os, name, mortal(getattr(os, name)))
disk.sync_file_system = mortal(disk.sync_file_system)

def life(data, calls):
    global left
    pid = os.fork()
    if pid == 0:
        left = calls
        data_dir.bring_up_to_date(data, {1: step("one"), 2: step("two")}, 3)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def read(path):
    with open(path) as file:
        return file.read()

code = 9
calls = -1
while code == 9:
    calls += 1
    data = os.path.join(sys.argv[1], str(calls))
    os.mkdir(data)
    with open(os.path.join(data, "format"), "w") as file:
        file.write("maestro-data 1\\n")
    code = life(data, calls)
    version = int(read(os.path.join(data, "format")).split()[1])
    for number, name in ((1, "one"), (2, "two")):
        assert version <= number or read(os.path.join(data, name)) == "done", (calls, version)
    assert life(data, -1) == 0, calls
    assert read(os.path.join(data, "format")) == "maestro-data 3\\n", calls
    assert sorted(os.listdir(data)) == ["format", "one", "two"], calls
assert code == 0, code
print(calls)
"""


def _directory(tmp_path: Path, says: str) -> Path:
    (tmp_path / "format").write_text(says + "\n")
    return tmp_path


def test_a_new_directory_gets_the_version_of_now(tmp_path: Path) -> None:
    """The next start accepts it."""
    data_dir.bring_up_to_date(str(tmp_path), STEPS)
    data_dir.bring_up_to_date(str(tmp_path), STEPS)
    assert (tmp_path / "format").read_text() == f"maestro-data {DATA_FORMAT_VERSION}\n"


@pytest.mark.parametrize(
    ("says", "part", "advice"),
    [
        ("maestro-data 4", "none newer than 3", "--upgrade"),
        ("maestro-data 3 to 4", "none newer than 3", "--upgrade"),
        ("maestro-data 1 to 2", "none older than 2", "knows both 1 and 2"),
        ("maestro-data 1", "none older than 2", "knows both 1 and 2"),
        ("something else", "'something else'", "Look what wrote"),
        ("maestro-data 0", "'maestro-data 0'", "Look what wrote"),
    ],
)
def test_what_is_unknown_is_refused_with_what_to_do(tmp_path: Path, says: str, part: str, advice: str) -> None:
    """No step is run and nothing is written."""
    ran: list[str] = []
    with pytest.raises(MaestroError) as caught:
        data_dir.bring_up_to_date(str(_directory(tmp_path, says)), {2: ran.append}, 3)
    assert caught.value.code == "FORMAT_UNSUPPORTED"
    assert part in caught.value.message
    assert advice in caught.value.hint
    assert not ran
    assert (tmp_path / "format").read_text() == says + "\n"


@pytest.mark.parametrize(
    ("says", "advice"),
    [("maestro-data 4", "--upgrade"), ("maestro-data 2", "`maestro up`"), ("junk", "Look what wrote")],
)
def test_a_program_that_only_reads_gets_a_next_step(tmp_path: Path, says: str, advice: str) -> None:
    with pytest.raises(MaestroError) as caught:
        data_dir.check_version(str(_directory(tmp_path, says)), 3, 2)
    assert caught.value.code == "FORMAT_UNSUPPORTED"
    assert advice in caught.value.hint
    data_dir.check_version(str(_directory(tmp_path, "maestro-data 3")), 3)


def test_while_a_step_runs_no_broker_of_the_old_version_serves_the_directory(tmp_path: Path) -> None:
    """Half of the files are new. Brokers of format 1 know one form of the text: `maestro-data` and a number."""
    seen: list[str] = []

    def step(data: str) -> None:
        seen.append((tmp_path / "format").read_text().strip())
        assert data_dir.read_version(data, 2) == 1

    data_dir.bring_up_to_date(str(_directory(tmp_path, "maestro-data 1")), {1: step}, 2)
    assert seen == ["maestro-data 1 to 2"]
    assert re.fullmatch(r"maestro-data ([1-9][0-9]{0,8})", seen[0]) is None


def test_a_step_that_fails_is_run_again_and_no_other(tmp_path: Path) -> None:
    """The format file names the last version whose step is durable."""
    ran: list[int] = []
    fails = [True]

    def one(_data: str) -> None:
        ran.append(1)

    def two(_data: str) -> None:
        ran.append(2)
        if fails.pop() if fails else False:
            raise OSError("injected")

    data = str(_directory(tmp_path, "maestro-data 1"))
    with pytest.raises(OSError, match="injected"):
        data_dir.bring_up_to_date(data, {1: one, 2: two}, 3)
    assert (tmp_path / "format").read_text() == "maestro-data 2 to 3\n"
    data_dir.bring_up_to_date(data, {1: one, 2: two}, 3)
    assert ran == [1, 2, 2]


def test_the_version_is_written_after_the_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sync that reports an error leaves the old version, in words that a broker of that version refuses."""

    def fail(_directory: str) -> None:
        raise OSError("injected")

    monkeypatch.setattr(disk, "sync_file_system", fail)
    with pytest.raises(OSError, match="injected"):
        data_dir.bring_up_to_date(str(_directory(tmp_path, "maestro-data 1")), {1: lambda _data: None}, 2)
    assert (tmp_path / "format").read_text() == "maestro-data 1 to 2\n"


@pytest.mark.slow
def test_an_update_killed_before_any_system_call_continues(tmp_path: Path) -> None:
    """The format file is right at every moment, and the next start finishes the update."""
    ran = subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) > 20
