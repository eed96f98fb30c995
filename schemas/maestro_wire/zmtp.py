"""ZMTP: the wire between one DEALER and one ROUTER, without libzmq.

Rule: sans-IO. ZMTP 3.1 (RFC 37; 3.0 is RFC 23) with the NULL mechanism, and only the parts that requests and replies
need. `receive` takes bytes, returns the bytes to answer at once, and adds whole messages to `messages`. Anything that
violates the RFC raises ProtocolError, and the connection must be closed. The module imports nothing: quick commands
end before `import zmq` would.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

FRAMES_MAX = 64

_MORE, _LONG, _COMMAND = 1, 2, 4
_GREETING_BYTES = 64
_SHORT_BYTES_MAX = 255
# Signature, version 3.1, mechanism, "as server" 0, filler.
_GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32)
_READY = b"\x05READY"
_PING = b"\x04PING"
_PONG = b"\x04PONG"
_PING_TTL_BYTES = 2
_PING_CONTEXT_BYTES_MAX = 16


class ProtocolError(Exception):
    """The peer violates ZMTP, uses a part of it that is not supported, or has refused the connection."""


def message(frames: Iterable[bytes]) -> bytes:
    """One message of several frames, as bytes."""
    parts: list[bytes] = []
    size = 0
    for body in frames:
        size = len(body)
        parts.append(_SHORT_HEADERS[size] if size <= _SHORT_BYTES_MAX else _long(size, _MORE))
        parts.append(body)
    parts[-2] = bytes((0, size)) if size <= _SHORT_BYTES_MAX else _long(size, 0)
    return b"".join(parts)


def message_after(head: bytes, second: bytes, third: bytes, last: bytes) -> bytes:
    """As `message` of four frames, of which `head` is the first as `frame` makes it, in half of the time: for
    replies, whose first frame never changes. `second` and `third` have at most 255 bytes."""
    size = len(last)
    return b"".join(
        (
            head,
            _SHORT_HEADERS[len(second)],
            second,
            _SHORT_HEADERS[len(third)],
            third,
            bytes((0, size)) if size <= _SHORT_BYTES_MAX else _long(size, 0),
            last,
        )
    )


def frame(body: bytes) -> bytes:
    """A frame of at most 255 bytes that another one follows."""
    return _SHORT_HEADERS[len(body)] + body


# The header of a short frame that is not the last, by the frame's size: made once, since each message has three.
_SHORT_HEADERS = [bytes((_MORE, size)) for size in range(_SHORT_BYTES_MAX + 1)]


def _long(size: int, flags: int) -> bytes:
    return bytes((flags | _LONG,)) + size.to_bytes(8, "big")


def _command(body: bytes) -> bytes:
    return bytes((_COMMAND, len(body))) + body


def _property(name: bytes, value: bytes) -> bytes:
    return bytes((len(name),)) + name + len(value).to_bytes(4, "big") + value


def _opening(socket_type: bytes) -> bytes:
    return _GREETING + _command(_READY + _property(b"Socket-Type", socket_type) + _property(b"Identity", b""))


# The first bytes of each end. No message may be sent before the peer's READY: libzmq takes it for a command.
DEALER_OPENING = _opening(b"DEALER")
ROUTER_OPENING = _opening(b"ROUTER")
# The socket types that each may be connected to (RFC 28).
DEALERS_PEERS = frozenset({b"ROUTER"})
ROUTERS_PEERS = frozenset({b"DEALER", b"REQ", b"ROUTER"})


class ZmtpConnection:
    """One end of a connection."""

    def __init__(self, peers: frozenset[bytes], frame_bytes_max: int) -> None:
        """`peers`: the socket types that the other end may have."""
        self.ready = False  # messages may be sent
        self.messages: list[list[bytes]] = []  # received, each a list of frames; the caller removes them
        self._peers = peers
        self._frame_bytes_max = frame_bytes_max
        self._greeted = False
        self._rest = b""
        self._frames: list[bytes] = []

    def receive(self, data: bytes) -> bytes:
        """Take received bytes; return the bytes to send in answer, often none. Raises ProtocolError."""
        if self._rest:
            data = self._rest + data
        place = 0
        if not self._greeted:
            self._rest = data
            if not self._greet(data):
                return b""
            place = _GREETING_BYTES
        answers = b""
        frames, size = self._frames, len(data)
        if self.ready and not frames:
            place = self._cut(data, place)
        # No calls inside the loop: a client that streams spends a third of its time in it.
        while size - place >= 2:
            flags = data[place]
            if flags & _LONG:
                begin = place + 9
                if size < begin:
                    break
                end = begin + int.from_bytes(data[place + 1 : begin], "big")
            else:
                begin = place + 2
                end = begin + data[place + 1]
            if flags > _MORE | _LONG:
                self._check_command(flags)
            if end - begin > self._frame_bytes_max:
                raise ProtocolError(f"a frame of {end - begin} bytes")
            if end > size:
                break
            place = end
            if flags & _COMMAND:
                answers += self._handle_command(data[begin:end])
                continue
            if not self.ready:
                raise ProtocolError("a message before READY")
            frames.append(data[begin:end])
            if not flags & _MORE:
                self.messages.append(frames)
                frames = self._frames = []
            elif len(frames) > FRAMES_MAX:
                raise ProtocolError("a message without an end")
        self._rest = data[place:]
        return answers

    def _cut(self, data: bytes, place: int) -> int:
        """Cut messages of three short frames and a last one, as all requests and replies are, in two thirds of the
        loop's time; where the rest begins, which `receive` looks at frame by frame."""
        size, most, add = len(data), self._frame_bytes_max, self.messages.append
        try:
            while data[place] == _MORE:
                first = place + 2 + data[place + 1]
                second = first + 2 + data[first + 1]
                third = second + 2 + data[second + 1]
                if data[first] != _MORE or data[second] != _MORE:
                    break
                if data[third] == _LONG:
                    begin = third + 9
                    end = begin + int.from_bytes(data[third + 1 : begin], "big")
                elif data[third]:
                    break
                else:
                    begin = third + 2
                    end = begin + data[third + 1]
                if end > size or end - begin > most:
                    break
                add([data[place + 2 : first], data[first + 2 : second], data[second + 2 : third], data[begin:end]])
                place = end
        except IndexError:
            pass  # the last message has not wholly arrived
        return place

    def _check_command(self, flags: int) -> None:
        if flags & ~(_MORE | _LONG | _COMMAND) or flags & _MORE:
            raise ProtocolError(f"a frame with the flags {flags:#04x}")

    def _greet(self, data: bytes) -> bool:
        if (data[:1] or b"\xff") != b"\xff" or (len(data) >= 10 and not data[9] & 1):
            raise ProtocolError("no greeting of ZMTP")
        if len(data) < _GREETING_BYTES:
            return False
        if data[10] < 3 or data[12:32] != _GREETING[12:32]:
            raise ProtocolError("a greeting of another version or mechanism")
        self._greeted = True
        return True

    def _handle_command(self, body: bytes) -> bytes:
        if not self.ready:
            # An ERROR, or any other word, is a refusal.
            if not body.startswith(_READY) or _socket_type(body[len(_READY) :]) not in self._peers:
                raise ProtocolError("no READY of a supported peer")
            self.ready = True
            return b""
        if body.startswith(_PING):
            context = body[len(_PING) + _PING_TTL_BYTES :]
            if len(body) < len(_PING) + _PING_TTL_BYTES or len(context) > _PING_CONTEXT_BYTES_MAX:
                raise ProtocolError("a malformed PING")
            return _command(_PONG + context)
        if body.startswith(_PONG):
            return b""
        raise ProtocolError("an unknown command")


def _socket_type(properties: bytes) -> bytes | None:
    """The value of Socket-Type, whose name is compared without case; None if it is missing. Raises ProtocolError."""
    found = None
    place = 0
    while place < len(properties):
        named = place + 1 + properties[place]
        valued = named + 4
        end = valued + int.from_bytes(properties[named:valued], "big")
        if named == place + 1 or end > len(properties) or valued > len(properties):
            raise ProtocolError("a READY whose properties do not end where they say")
        if properties[place + 1 : named].lower() == b"socket-type":
            found = properties[valued:end]
        place = end
    return found
