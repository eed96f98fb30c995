"""Files of messages on the command line: attached, listed, saved, queued, and named by one line each."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from maestro_cli import exit_codes
from maestro_runtime import paths
from support.cli_shell import Lines
from support.far_office import far_environ, make_key, open_door
from support.post_office import eventually

if TYPE_CHECKING:
    from support.cli_shell import Shell
    from support.post_office import PostOffice

PATCH = b"--- a\n+++ b\n"
LARGE = bytes(range(256)) * (5 << 10)


@pytest.fixture
def work(person: Shell) -> str:
    """A folder with two files."""
    folder = os.path.join(person.root, "work")
    os.mkdir(folder)
    for name, content in (("cart.patch", PATCH), ("shot one.bin", LARGE)):
        with open(os.path.join(folder, name), "wb") as file:
            file.write(content)
    return folder


def content_of(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def send_files(sender: Shell, to: Shell, work: str, *more: str) -> str:
    """Send both files; the message's id."""
    paths = [os.path.join(work, name) for name in ("cart.patch", "shot one.bin")]
    attached = [word for path in paths for word in ("--attach", path)]
    done = sender.done("send", "--to", to.session_id, "-m", "The fix.", *attached, *more, "--json")
    message_id = done.json()["id"]
    assert isinstance(message_id, str)
    return message_id


def file_lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip().startswith("file: ")]


def paths_in(text: str) -> list[str]:
    return [line.partition(") ")[2].strip('"') for line in file_lines(text)]


# --- sending and reading -----------------------------------------------------------------------------------


def test_a_receiver_reads_a_line_and_a_path_for_each_file(person: Shell, work: str) -> None:
    ann, bob = person.session("ann"), person.session("bob")
    sent = send_files(ann, bob, work)
    shown = bob.done("inbox").out
    first, second = file_lines(shown)
    assert first.startswith("file: cart.patch (12 B, text/x-patch) /")
    assert second.startswith('file: "shot one.bin" (1.2 MiB, application/octet-stream) "/')
    paths = paths_in(shown)
    assert [content_of(path) for path in paths] == [PATCH, LARGE]
    assert [os.path.basename(path) for path in paths] == ["cart.patch", "shot one.bin"]
    assert all(sent in path for path in paths)
    assert {stat.S_IMODE(os.stat(path).st_mode) for path in paths} == {0o400}
    # The content itself is never shown.
    assert "--- a" not in shown


@pytest.mark.parametrize("words", [("message", "show"), ("message", "thread"), ("attachment", "list")])
def test_its_sender_and_its_receiver_see_its_files(person: Shell, work: str, words: tuple[str, str]) -> None:
    ann, bob = person.session("ann"), person.session("bob")
    sent = send_files(ann, bob, work)
    for shell in (ann, bob, person):
        found = shell.done(*words, sent).out
        assert len(file_lines(found)) == 2
        document = shell.done(*words, sent, "--json").json()
        files = document["messages"][0]["attachments"] if "messages" in document else document["attachments"]
        assert [file["name"] for file in files] == ["cart.patch", "shot one.bin"]
    assert [content_of(path) for path in paths_in(bob.done(*words, sent).out)] == [PATCH, LARGE]


def test_a_log_names_the_files_and_fetches_none(person: Shell, work: str) -> None:
    ann, bob = person.session("ann"), person.session("bob")
    send_files(ann, bob, work)
    assert len(file_lines(bob.done("log").out)) == 2
    assert len(file_lines(bob.done("inbox", "--all").out)) == 2
    assert not os.path.exists(os.path.join(person.data, "received-files"))


def test_an_answer_carries_files_too(person: Shell, work: str) -> None:
    ann, bob = person.session("ann"), person.session("bob")
    asked = bob.send(ann, "Where is it?")
    ann.done("message", "reply", asked, "-m", "Here.", "--attach", os.path.join(work, "cart.patch"))
    [line] = file_lines(bob.done("inbox").out)
    assert line.startswith("file: cart.patch (12 B")


def test_one_file_to_several_is_stored_once(person: Shell, work: str) -> None:
    ann = person.session("ann", role="orchestrator")
    others = [person.session() for _ in range(12)]
    to = [word for other in others for word in ("--to", other.session_id)]
    ann.done("send", *to, "-m", "Read it.", "--attach", os.path.join(work, "shot one.bin"))
    for other in others:
        [message] = other.inbox()
        [file] = message["attachments"]
        assert content_of(file["path"]) == LARGE
    blobs = os.path.join(person.data, "attachments", "blobs")
    assert len([name for _, _, names in os.walk(blobs) for name in names]) == 1


def test_a_watch_names_the_files_and_a_command_gets_their_paths(person: Shell, work: str) -> None:
    ann, bob = person.session("ann"), person.session("bob")
    watch = bob.start("inbox", "--watch", "--json", "--limit", "1")
    Lines(watch, "stderr").wait_for(lambda line: "watching" in line)
    send_files(ann, bob, work)
    [line] = Lines(watch).wait_for(lambda line: "attachments" in line).splitlines()
    assert [content_of(file["path"]) for file in json.loads(line)["attachments"]] == [PATCH, LARGE]
    out = os.path.join(person.root, "out")
    command = f'printf "%s\\n" "$MAESTRO_MESSAGE_FILES" > {out}'
    run = bob.start("inbox", "--watch", "--exec", command, "--limit", "2")
    Lines(run, "stderr").wait_for(lambda line: "watching" in line)
    send_files(ann, bob, work)
    eventually(lambda: os.path.exists(out) and os.path.getsize(out) > 1, "the command has run")
    paths = content_of(out).decode().splitlines()
    assert [content_of(path) for path in paths] == [PATCH, LARGE]
    os.unlink(out)
    ann.send(bob, "without files")
    assert run.wait(30) == 0
    assert content_of(out) == b"\n"


# --- refusals ----------------------------------------------------------------------------------------------


def test_what_can_not_be_attached_is_refused_and_nothing_is_sent(person: Shell, work: str) -> None:
    ann, bob = person.session("ann"), person.session("bob")
    os.symlink("/etc/passwd", os.path.join(work, "link"))
    os.mkfifo(os.path.join(work, "pipe"))
    for path in ("link", "pipe", "nowhere", "."):
        error = ann.run("send", "-t", bob.session_id, "-m", "x", "--attach", os.path.join(work, path), "--json")
        assert (error.code, error.error()["code"]) == (exit_codes.USAGE, "ATTACHMENT_UNUSABLE")
        assert os.path.join(work, path).removesuffix("/.") in error.error()["message"]
    for path in ("/dev/null", "-"):
        assert ann.run("send", "-t", bob.session_id, "-m", "x", "--attach", path).code == exit_codes.USAGE
    assert bob.inbox() == []


def test_the_brokers_own_limits_hold_before_anything_is_put(person: Shell, work: str) -> None:
    limited = person.like(MAESTRO_ATTACHMENT_BYTES_MAX="1000", MAESTRO_ATTACHMENTS_MAX="1")
    ann, bob = limited.session("ann"), limited.session("bob")
    large = ann.run("send", "-t", bob.session_id, "-m", "x", "--attach", os.path.join(work, "shot one.bin"), "--json")
    assert large.code == exit_codes.USAGE
    error = large.error()
    assert (error["code"], error["limit"], error["actual"]) == ("ATTACHMENT_TOO_LARGE", 1000, len(LARGE))
    small = os.path.join(work, "cart.patch")
    two = ann.run("send", "-t", bob.session_id, "-m", "x", "--attach", small, "--attach", small, "--json")
    assert two.error()["code"] == "TOO_MANY"
    assert not os.path.exists(os.path.join(person.data, "attachments", "parts"))


def test_a_text_that_is_too_long_is_pointed_to_a_file(person: Shell) -> None:
    ann, bob = person.session("ann"), person.session("bob")
    refused = ann.run("send", "-t", bob.session_id, "-m", "x" * 10_001)
    assert "--attach PATH" in refused.err
    with open(os.path.join(person.root, "binary"), "wb") as file:
        file.write(b"\0")
    refused = ann.run("send", "-t", bob.session_id, "-f", "binary")
    assert "--attach PATH" in refused.err


# --- saving ------------------------------------------------------------------------------------------------


def test_files_are_saved_and_never_replaced_without_being_asked_to(person: Shell, work: str) -> None:
    ann, bob = person.session("ann"), person.session("bob")
    sent = send_files(ann, bob, work)
    folder = os.path.join(person.root, "saved")
    os.mkdir(folder)
    saved = bob.done("attachment", "save", sent, "--to", folder, "--json").json()["saved"]
    assert [content_of(file["path"]) for file in saved] == [PATCH, LARGE]
    assert {stat.S_IMODE(os.stat(file["path"]).st_mode) for file in saved} == {0o600}
    again = bob.run("attachment", "save", sent, "--to", folder)
    assert again.code == exit_codes.REFUSED
    assert "--force" in again.err
    path = os.path.join(folder, "cart.patch")
    os.unlink(path)
    os.symlink(os.path.join(work, "cart.patch"), path)
    assert bob.run("attachment", "save", sent, "cart.patch", "--to", folder).code == exit_codes.REFUSED
    assert bob.done("attachment", "save", sent, "cart.patch", "--to", folder, "--force").out.startswith("Saved ")
    # The link was replaced, and not followed.
    assert not os.path.islink(path)
    assert sorted(os.listdir(folder)) == ["cart.patch", "shot one.bin"]


def test_what_can_not_be_saved_is_said(person: Shell, work: str) -> None:
    ann, bob, cid = person.session("ann"), person.session("bob"), person.session("cid")
    sent = send_files(ann, bob, work)
    other = bob.run("attachment", "save", sent, "other.txt")
    assert (other.code, "It has cart.patch" in other.err) == (exit_codes.NOT_FOUND, True)
    assert bob.run("attachment", "save", sent, "--to", "/nowhere").code == exit_codes.USAGE
    assert cid.run("attachment", "save", sent).code == exit_codes.NOT_FOUND
    plain = ann.send(bob, "no files")
    assert bob.done("attachment", "list", plain).out == f"{plain} has no files.\n"
    assert bob.run("attachment", "save", plain).code == exit_codes.NOT_FOUND


# --- the outbox --------------------------------------------------------------------------------------------


def test_without_a_broker_the_outbox_keeps_the_files(person: Shell, work: str) -> None:
    ann, bob = person.session("ann"), person.session("bob")
    person.kill_broker()
    away = ann.like(MAESTRO_AUTOSTART="0")
    send_files(away, bob, work)
    kept = os.path.join(person.data, "outbox", "blobs")
    assert len(os.listdir(kept)) == 2
    for path in paths_in(away.done("outbox").out):
        assert os.path.dirname(path) == kept
    [entry] = away.done("outbox", "--json").json()["waiting"]
    assert [content_of(file["path"]) for file in entry["attachments"]] == [PATCH, LARGE]
    # The files may change or go: the outbox has what they were.
    for name in os.listdir(work):
        os.unlink(os.path.join(work, name))
    ann.done("outbox", "--replay")
    [message] = bob.inbox()
    assert [content_of(file["path"]) for file in message["attachments"]] == [PATCH, LARGE]
    eventually(lambda: not os.path.exists(kept), "the outbox keeps them no longer")


def test_a_refused_send_keeps_its_files_for_a_retry(person: Shell, work: str) -> None:
    """An entry without the sender's token is no message of its session, and stays in the outbox."""
    ann, bob = person.session("ann"), person.session("bob")
    person.kill_broker()
    away = ann.like(MAESTRO_AUTOSTART="0", MAESTRO_SESSION_TOKEN="wrong")
    sent = send_files(away, bob, work)
    ann.done("outbox", "--replay")
    [entry] = ann.done("outbox", "--json").json()["failed"]
    assert [content_of(file["path"]) for file in entry["attachments"]] == [PATCH, LARGE]
    ann.done("message", "retry", sent)
    [message] = [each for each in bob.inbox() if "attachments" in each]
    assert [content_of(file["path"]) for file in message["attachments"]] == [PATCH, LARGE]


def test_an_expired_message_is_sent_again_with_its_files(person: Shell, work: str) -> None:
    ann, bob = person.session("ann"), person.session("bob")
    sent = send_files(ann, bob, work, "--ttl", "1ms")
    eventually(lambda: ann.state(sent) == "expired", "it has expired")
    ann.done("message", "retry", sent, "--ttl", "1h")
    [message] = bob.inbox()
    assert [content_of(file["path"]) for file in message["attachments"]] == [PATCH, LARGE]


# --- a sender that is killed -------------------------------------------------------------------------------

_KILLED = """
import os, signal, sys
from maestro_clients.protocol import blob_commands, commands
point, count = sys.argv.pop(1), [0]
def at(name, call):
    def wrapped(*args, **kwargs):
        count[0] += name == point.partition(":")[0]
        if point == f"{name}:{count[0]}":
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **kwargs)
    return wrapped
blob_commands.blob_stat = at("stat", blob_commands.blob_stat)
blob_commands.blob_put = at("put", blob_commands.blob_put)
commands.send_one = at("send", commands.send_one)
from maestro_runtime import atomic_file
from maestro_runtime.outbox_dir import OutboxDir
atomic_file.replace = at("keep", atomic_file.replace)
OutboxDir._add = at("entry", OutboxDir._add)
from maestro_cli.__main__ import main
sys.exit(main())
"""


def _send_and_die(sender: Shell, to: Shell, work: str, point: str) -> None:
    command = [sys.executable, "-c", _KILLED, point, "send", "-t", to.session_id, "-m", "The fix.", "--id", "msg_own"]
    for name in ("cart.patch", "shot one.bin"):
        command += ["--attach", os.path.join(work, name)]
    done = subprocess.run(command, env=sender.environ, cwd=sender.root, capture_output=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL, done


@pytest.mark.parametrize("point", ["stat:1", "put:1", "stat:2", "put:2", "put:3", "send:1"])
def test_a_killed_sender_repeats_its_command(person: Shell, work: str, point: str) -> None:
    ann, bob = person.session("ann"), person.session("bob")
    _send_and_die(ann, bob, work, point)
    assert bob.inbox() == []
    send_files(ann, bob, work, "--id", "msg_own")
    [message] = bob.inbox()
    assert [content_of(file["path"]) for file in message["attachments"]] == [PATCH, LARGE]


@pytest.mark.parametrize("point", ["keep:1", "keep:2", "entry:1"])
def test_a_sender_that_is_killed_while_it_queues_leaves_nothing(person: Shell, work: str, point: str) -> None:
    ann, bob = person.session("ann"), person.session("bob")
    person.kill_broker()
    away = ann.like(MAESTRO_AUTOSTART="0")
    _send_and_die(away, bob, work, point)
    assert ann.done("outbox", "--json").json()["waiting"] == []
    ann.done("outbox", "--replay")
    eventually(lambda: not os.path.exists(os.path.join(person.data, "outbox", "blobs")), "what it kept is gone")
    send_files(ann, bob, work, "--id", "msg_own")
    assert len(bob.inbox()) == 1


# --- another machine ---------------------------------------------------------------------------------------


@pytest.fixture
def far(person: Shell, post_office: PostOffice) -> Shell:
    """The shell of the session `ann` on another machine; `bob` is on the broker's."""
    address = open_door(post_office)
    post_office.start()
    post_office.sessions("ann", "bob")
    key = make_key(post_office, "ann", sessions=("ann",))
    far = far_environ(post_office, address, key)
    return person.like(**{name: value for name, value in far.items() if name.startswith("MAESTRO_")}).like(
        MAESTRO_SESSION_ID="ann"
    )


def far_data(far: Shell) -> str:
    """What this machine keeps for the broker on the other one."""
    return paths.data_dir(far.environ)


def own_folder(far: Shell, post_office: PostOffice, work: str) -> None:
    with post_office.client("ann") as client:
        client.end_session()
    with post_office.client() as operator:
        operator.start_session("ann", cwd=work)


def test_files_go_to_another_machine_and_come_from_it(far: Shell, post_office: PostOffice, work: str) -> None:
    own_folder(far, post_office, work)
    sent = far.done("send", "-t", "bob", "-m", "x", "--attach", os.path.join(work, "shot one.bin"), "--json").json()[
        "id"
    ]
    with post_office.client() as operator:
        [file] = operator.message(sent)["attachments"]
    assert file["size"] == len(LARGE)
    with post_office.client("bob") as client:
        client.send("ann", "back", attachments=[os.path.join(work, "cart.patch")])
    [message] = far.inbox()
    path = message["attachments"][0]["path"]
    assert path.startswith(os.path.join(far_data(far), "received-files"))
    assert content_of(path) == PATCH
    assert stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o700
    folder = os.path.join(far.root, "saved")
    os.mkdir(folder)
    far.done("attachment", "save", message["id"], "--to", folder)
    assert content_of(os.path.join(folder, "cart.patch")) == PATCH


def test_a_file_outside_of_the_sessions_directory_stays_here(far: Shell, post_office: PostOffice, work: str) -> None:
    inner = os.path.join(work, "inner")
    os.mkdir(inner)
    own_folder(far, post_office, inner)
    # Not below the directory for temporary files either.
    here = far.like(TMPDIR=inner)
    refused = here.run("send", "-t", "bob", "-m", "x", "--attach", os.path.join(work, "cart.patch"), "--json")
    assert (refused.code, refused.error()["code"]) == (exit_codes.REFUSED, "ATTACHMENT_OUTSIDE")
    os.link(os.path.join(work, "cart.patch"), os.path.join(inner, "cart.patch"))
    here.done("send", "-t", "bob", "-m", "x", "--attach", os.path.join(inner, "cart.patch"))
    # Without an answer nothing is known of the session but where the command runs.
    post_office.stop()
    away = here.run("send", "-t", "bob", "-m", "x", "--attach", "/etc/hostname", "--json")
    assert away.error()["code"] == "ATTACHMENT_OUTSIDE"


def test_the_outbox_of_another_machine_sends_its_files(far: Shell, post_office: PostOffice, work: str) -> None:
    own_folder(far, post_office, work)
    post_office.stop()
    queued = far.done("send", "-t", "bob", "-m", "x", "--attach", os.path.join(work, "cart.patch"), "--json").json()
    assert queued["status"] == "queued"
    kept = os.path.join(far_data(far), "outbox", "blobs")
    assert len(os.listdir(kept)) == 1
    post_office.start()
    far.done("outbox", "--replay")
    with post_office.client("bob") as client:
        [message] = client.inbox()["messages"]
    assert [file["name"] for file in message["attachments"]] == ["cart.patch"]
    assert not os.path.exists(kept)
