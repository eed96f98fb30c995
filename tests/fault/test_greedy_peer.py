"""A peer that requests far more at once than fits into memory: it gets all replies, a few at a time."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

from maestro_clients.protocol.codec import encoder
from maestro_clients.protocol.new_ids import new_message_id
from maestro_wire import zmtp

if TYPE_CHECKING:
    from support.post_office import PostOffice

_REQUESTS = 300
_MESSAGES = 90
_PAGE_BYTES = 400_000


def test_a_full_mailbox_requested_hundreds_of_times_at_once(open_office: PostOffice) -> None:
    """All requests fit into one read, and their replies are 120 MB. Without a limit on the replies of one turn, all
    of them were in memory, several times, and no other client was answered meanwhile."""
    with open_office.client("ann") as ann:
        ann.send_many([{"id": new_message_id(), "to": "bob", "message": "x" * 5_000} for _ in range(_MESSAGES)])
    body = encoder()({"as": {"session": "bob"}, "session": "bob"})
    requests = b"".join(zmtp.message((b"M1", b"%d" % number, b"inbox", body)) for number in range(_REQUESTS))
    assert len(requests) < 1 << 18, "they fit into one read"
    before = _resident_bytes_max(open_office.pid)
    link = zmtp.ZmtpConnection(zmtp.DEALERS_PEERS, 1 << 20)
    answered = 0
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer, open_office.client() as other:
        peer.settimeout(10.0)
        peer.connect(open_office.router().removeprefix("ipc://"))
        peer.sendall(zmtp.DEALER_OPENING)
        while not link.ready:
            link.receive(peer.recv(1 << 16))
        writing = threading.Thread(target=peer.sendall, args=(requests,))
        writing.start()
        while answered < _REQUESTS:
            link.receive(peer.recv(1 << 18))
            for frames in link.messages:
                assert (frames[1], frames[2]) == (b"%d" % answered, b"200")
                assert len(frames[3]) > _PAGE_BYTES
                answered += 1
            link.messages.clear()
            if answered % 100 == 1:
                other.hello()
        writing.join()
    assert _resident_bytes_max(open_office.pid) - before < 40 << 20


def _resident_bytes_max(pid: int) -> int:
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        fields = dict(line.split(":", 1) for line in status)
    return int(fields["VmHWM"].split()[0]) << 10
