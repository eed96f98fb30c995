"""What the parser passes on: requests in one form, however their bytes arrive, and nothing else."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_gateway.http.request_parser import ParsedInput, RequestParser
from maestro_schemas.http_limits import HttpLimits

LIMITS = HttpLimits(head_bytes_max=1_024)
GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
SAME_GET = b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n"
CHUNKED = (
    b"POST /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;ext=1\r\nabc\r\n0\r\nTrailer: y\r\n\r\n"
)
SAME_CHUNKED = b"POST /b HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)


def parsed(data: bytes) -> ParsedInput:
    return RequestParser(LIMITS).feed(data)


def test_a_request_is_written_again_from_its_parts() -> None:
    assert parsed(GET) == ParsedInput(SAME_GET, 1, None, None)


def test_chunk_extensions_and_trailers_are_left_out() -> None:
    assert parsed(CHUNKED + GET) == ParsedInput(SAME_CHUNKED + b"3\r\nabc\r\n0\r\n\r\n" + SAME_GET, 2, None, None)


@pytest.mark.parametrize(
    ("target", "path", "host"),
    [
        (b"http://other:81/p?q=1", b"/p?q=1", b"other:81"),
        (b"http://[::1]/p", b"/p", b"[::1]"),
        (b"http://other", b"/", b"other"),
    ],
)
def test_an_absolute_target_becomes_a_path_and_its_host(target: bytes, path: bytes, host: bytes) -> None:
    found = parsed(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert found.requests == b"GET " + path + b" HTTP/1.1\r\nhost: " + host + b"\r\n\r\n"


@given(cuts=st.lists(st.integers(0, len(GET + CHUNKED + GET)), max_size=20))
def test_pieces_make_the_same_requests(cuts: list[int]) -> None:
    whole = GET + CHUNKED + GET
    edges = sorted({0, *cuts, len(whole)})
    parser, out, heads = RequestParser(LIMITS), b"", 0
    for start, end in pairwise(edges):
        found = parser.feed(whole[start:end])
        assert found.error is None
        out, heads = out + found.requests, heads + found.heads
    assert heads == 3
    assert out.startswith(SAME_GET + SAME_CHUNKED)
    assert out.endswith(b"0\r\n\r\n" + SAME_GET)
    assert parser.in_head
    assert not parser.has_partial_head


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (b"\0\1\r\n\r\n", "BAD_REQUEST"),
        (b"GET /" + b"a" * 1_100, "HEAD_TOO_LARGE"),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 1_100 + b"\r\nY: b\r\n", "HEAD_TOO_LARGE"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "BAD_REQUEST"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", "BAD_REQUEST"),
        (b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n", "BAD_REQUEST"),
        (HANDSHAKE.replace(b"13", b"12") + b"\r\n", "BAD_REQUEST"),
        (HANDSHAKE.replace(b"AAAA=", b"AA=") + b"\r\n", "BAD_REQUEST"),
        (HANDSHAKE + b"Content-Length: 7\r\n\r\n", "BAD_REQUEST"),
    ],
)
def test_what_comes_before_an_error_is_passed_on_and_the_rest_is_not(bad: bytes, code: str) -> None:
    parser = RequestParser(LIMITS)
    found = parser.feed(GET + bad)
    assert (found.requests, found.heads, found.handshake) == (SAME_GET, 1, None)
    assert found.error is not None
    assert found.error.code == code
    assert parser.is_done


def test_a_line_without_an_end_is_limited() -> None:
    parser = RequestParser(LIMITS)
    assert parser.feed(b"GET /a HTTP/1.1\r\nX: y").error is None
    assert parser.has_partial_head
    assert parser.feed(b"a" * 900).error is None
    error = parser.feed(b"a" * 200).error
    assert error is not None
    assert error.code == "HEAD_TOO_LARGE"


def test_a_handshake_is_passed_on_apart() -> None:
    found = parsed(GET + HANDSHAKE + b"\r\n")
    assert (found.requests, found.heads, found.error) == (SAME_GET, 1, None)
    assert found.handshake is not None
    assert found.handshake.endswith(b"connection: upgrade\r\nupgrade: websocket\r\n\r\n")


def test_another_protocol_is_asked_for_in_vain_and_last() -> None:
    parser = RequestParser(LIMITS)
    found = parser.feed(b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
    assert found == ParsedInput(b"GET /a HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 1, None, None)
    assert parser.is_done
