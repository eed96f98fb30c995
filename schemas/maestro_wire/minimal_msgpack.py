"""Minimal msgpack: the encoding for commands that end sooner than `import msgpack` would take.

Rule: the same bytes and the same values as the package msgpack, or ValueError; fuzzing compares both. Extension types
are refused: no reply of the broker has one.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_UINTS = ((0xCC, 1), (0xCD, 2), (0xCE, 4), (0xCF, 8))
_INTS = ((0xD0, 1), (0xD1, 2), (0xD2, 4), (0xD3, 8))
# From the code to the size of the length, in bytes.
_STRS = ((0xD9, 1), (0xDA, 2), (0xDB, 4))
_BINS = ((0xC4, 1), (0xC5, 2), (0xC6, 4))
_LISTS = ((0xDC, 2), (0xDD, 4))
_MAPS = ((0xDE, 2), (0xDF, 4))
_FLOATS = {0xCA: (">f", 4), 0xCB: (">d", 8)}
_CONSTANTS: dict[int, bool | None] = {0xC0: None, 0xC2: False, 0xC3: True}
_STR_SIZES, _BIN_SIZES, _LIST_SIZES, _MAP_SIZES = dict(_STRS), dict(_BINS), dict(_LISTS), dict(_MAPS)
_UINT_SIZES, _INT_SIZES = dict(_UINTS), dict(_INTS)
# Deeper than any document of the protocol; the interpreter's own stack allows ten times that.
DEPTH_MAX = 64


def pack(value: object, depth: int = 0) -> bytes:
    """The msgpack of text, bytes, integers of 64 bits, booleans, None, and lists and maps of them.

    Raises ValueError for any other value, and for text that is not valid Unicode.
    """
    if depth > DEPTH_MAX:
        raise ValueError("nested too deep")
    if value is None:
        return b"\xc0"
    if value is True or value is False:
        return b"\xc3" if value else b"\xc2"
    if type(value) is str:
        raw = value.encode()
        return (bytes((0xA0 | len(raw),)) if len(raw) < 32 else _sized(_STRS, len(raw))) + raw
    if type(value) is int:
        return _packed_int(value)
    if type(value) is list or type(value) is tuple:
        head = bytes((0x90 | len(value),)) if len(value) < 16 else _sized(_LISTS, len(value))
        return head + b"".join([pack(item, depth + 1) for item in value])
    if type(value) is bytes:
        return _sized(_BINS, len(value)) + value
    if type(value) is dict:
        head = bytes((0x80 | len(value),)) if len(value) < 16 else _sized(_MAPS, len(value))
        return head + b"".join([pack(item, depth + 1) for pair in value.items() for item in pair])
    raise ValueError(f"no msgpack for {type(value).__name__}")


def _packed_int(value: int) -> bytes:
    if -32 <= value < 128:
        return bytes((value & 0xFF,))
    if value >= 0:
        return _sized(_UINTS, value)
    for code, size in _INTS:
        if value >= -1 << (8 * size - 1):
            return bytes((code,)) + value.to_bytes(size, "big", signed=True)
    raise ValueError("an integer of more than 64 bits")


def _sized(codes: tuple[tuple[int, int], ...], number: int) -> bytes:
    for code, size in codes:
        if number < 1 << (8 * size):
            return bytes((code,)) + number.to_bytes(size, "big")
    raise ValueError("too large")


def unpack(raw: bytes) -> Any:
    """The one value in `raw`. Raises ValueError for other bytes, extension types, and keys that are no text."""
    value, end = _read(raw, 0, 0)
    if end != len(raw):
        raise ValueError("bytes after the value")
    return value


def _read(raw: bytes, place: int, depth: int) -> tuple[Any, int]:
    code = _take(raw, place, 1)[0]
    place += 1
    if code < 0x80:
        return code, place
    if code < 0x90:
        return _read_map(raw, place, code & 0x0F, depth)
    if code < 0xA0:
        return _read_list(raw, place, code & 0x0F, depth)
    if code < 0xC0:
        return _take(raw, place, code & 0x1F).decode(), place + (code & 0x1F)
    if code >= 0xE0:
        return code - 256, place
    if code in _CONSTANTS:
        return _CONSTANTS[code], place
    if (size := _UINT_SIZES.get(code) or _INT_SIZES.get(code)) is not None:
        return int.from_bytes(_take(raw, place, size), "big", signed=code in _INT_SIZES), place + size
    if code in _FLOATS:
        import struct

        layout, size = _FLOATS[code]
        return struct.unpack(layout, _take(raw, place, size))[0], place + size
    for sizes in (_STR_SIZES, _BIN_SIZES, _LIST_SIZES, _MAP_SIZES):
        if code in sizes:
            length = int.from_bytes(_take(raw, place, sizes[code]), "big")
            place += sizes[code]
            if sizes is _LIST_SIZES:
                return _read_list(raw, place, length, depth)
            if sizes is _MAP_SIZES:
                return _read_map(raw, place, length, depth)
            body = _take(raw, place, length)
            return body.decode() if sizes is _STR_SIZES else body, place + length
    raise ValueError(f"an extension type, or no type: {code:#04x}")


def _read_list(raw: bytes, place: int, length: int, depth: int) -> tuple[list[Any], int]:
    _check(raw, place, length, depth)
    items = []
    for _ in range(length):
        item, place = _read(raw, place, depth + 1)
        items.append(item)
    return items, place


def _read_map(raw: bytes, place: int, length: int, depth: int) -> tuple[dict[str, Any], int]:
    _check(raw, place, length, depth)
    items = {}
    for _ in range(length):
        key, place = _read(raw, place, depth + 1)
        if type(key) is not str:
            raise ValueError("a key that is no text")
        items[key], place = _read(raw, place, depth + 1)
    return items, place


def _check(raw: bytes, place: int, length: int, depth: int) -> None:
    # A length that the bytes can't hold is refused before any item is read.
    if depth >= DEPTH_MAX or length > len(raw) - place:
        raise ValueError("nested too deep, or cut off")


def _take(raw: bytes, place: int, size: int) -> bytes:
    taken = raw[place : place + size]
    if len(taken) != size:
        raise ValueError("cut off")
    return taken
