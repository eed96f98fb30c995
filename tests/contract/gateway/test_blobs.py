"""Files over HTTP: uploaded as raw bytes, named by a message, and sent back so that no browser runs them."""

from __future__ import annotations

import hashlib
import http.client
import os
import socket
import urllib.parse
from typing import TYPE_CHECKING, Any

import pytest

from maestro_schemas.limits import ATTACHMENT_NAME_BYTES_MAX, Limits

if TYPE_CHECKING:
    from support.gateways import Answer, Gateway
    from support.post_office import PostOffice

LARGE = os.urandom(3 << 20)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)
HTML = b"<!doctype html><script>alert(1)</script>"
ANN = {"X-Session-ID": "ann"}


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def upload(gateway: Gateway, content: bytes) -> dict[str, Any]:
    answer = gateway.ask("POST", "/api/blobs", content, headers=ANN)
    assert answer.status == 201
    found = answer.json
    assert found == {"sha256": digest_of(content), "size": len(content)}
    return dict(found)


def send(gateway: Gateway, *files: dict[str, Any], path: str = "/api/messages") -> Answer:
    body: dict[str, Any] = {"message": "The fix.", "attachments": list(files)}
    return gateway.ask("POST", path, body | ({"to": "bob"} if path == "/api/messages" else {}), headers=ANN)


def sent_as(gateway: Gateway, content: bytes, name: str) -> str:
    answer = send(gateway, {"name": name, **upload(gateway, content)})
    assert answer.status == 201, answer
    message_id = answer.json["id"]
    assert isinstance(message_id, str)
    return message_id


def fetch(gateway: Gateway, message_id: str, name: str, query: str = "", method: str = "GET") -> Answer:
    return gateway.ask(method, f"/api/messages/{message_id}/attachments/{urllib.parse.quote(name)}{query}")


# --- uploads -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"abc", LARGE])
def test_a_body_is_a_file(standing: Gateway, content: bytes) -> None:
    upload(standing, content)
    again = standing.ask("PUT", f"/api/blobs/{digest_of(content)}", content, headers=ANN)
    assert (again.status, again.json["size"]) == (201, len(content))


def test_a_body_without_a_length_is_a_file_too(standing: Gateway) -> None:
    connection = http.client.HTTPConnection(*standing.address, timeout=20)
    pieces = iter([LARGE[:70_000], LARGE[70_000:]])
    connection.request("POST", "/api/v1/blobs", pieces, ANN, encode_chunked=True)
    answer = connection.getresponse()
    assert (answer.status, digest_of(LARGE) in answer.read().decode()) == (201, True)
    connection.close()


@pytest.mark.parametrize(
    ("digest", "code"), [("0" * 64, "BLOB_MISMATCH"), ("x", "INVALID"), ("A" * 64, "INVALID"), ("0" * 63, "INVALID")]
)
def test_the_digest_of_the_path_is_checked(standing: Gateway, digest: str, code: str) -> None:
    answer = standing.ask("PUT", f"/api/blobs/{digest}", b"abc", headers=ANN)
    assert (answer.status, answer.json["code"]) == (400, code)


@pytest.mark.parametrize(
    ("headers", "status"), [({"Content-Encoding": "gzip"}, 415), ({"Content-Range": "bytes 0-2/3"}, 400)]
)
def test_a_body_that_is_not_the_file_as_it_is_is_refused(
    standing: Gateway, headers: dict[str, str], status: int
) -> None:
    assert standing.ask("POST", "/api/blobs", b"abc", headers={**ANN, **headers}).status == status


def test_a_file_over_the_limit_is_refused_with_both_numbers(standing: Gateway) -> None:
    limit = Limits().attachment_bytes_max
    connection = http.client.HTTPConnection(*standing.address, timeout=20)
    # By its length, before a byte of it is sent.
    connection.putrequest("POST", "/api/blobs")
    for name, value in (*ANN.items(), ("Content-Length", str(limit + 1))):
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 413
    assert f"{limit + 1:,} bytes or more, and the limit is {limit:,}" in answer.read().decode()
    connection.close()


def test_a_peer_that_hangs_up_leaves_nothing(standing: Gateway, office: PostOffice) -> None:
    with socket.create_connection(standing.address, timeout=20) as peer:
        peer.sendall(b"POST /api/blobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc")
    upload(standing, b"after it")
    parts = os.path.join(office.data, "attachments", "parts")
    assert not os.path.isdir(parts) or os.listdir(parts) == []


# --- messages ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/api/messages", "/api/sessions/bob/messages"])
def test_a_message_names_what_was_uploaded(standing: Gateway, path: str) -> None:
    files = [{"name": "cart.patch", **upload(standing, b"-a\n")}, {"name": "cart.patch", **upload(standing, LARGE)}]
    answer = send(standing, *files, path=path)
    assert answer.status == 201
    message = standing.ask("GET", f"/api/messages/{answer.json['id']}", headers=ANN).json
    assert [(file["name"], file["type"], file["size"]) for file in message["attachments"]] == [
        ("cart.patch", "text/x-patch", 3),
        ("cart(2).patch", "text/x-patch", len(LARGE)),
    ]
    assert fetch(standing, message["id"], "cart(2).patch").body == LARGE


def test_a_message_that_names_what_is_not_there_is_refused_and_can_be_sent_again(standing: Gateway) -> None:
    content = os.urandom(20)
    file = {"name": "a", "sha256": digest_of(content), "size": len(content)}
    refused = send(standing, file)
    assert (refused.status, refused.json["code"]) == (404, "BLOB_NOT_FOUND")
    assert "/api/blobs" in refused.json["hint"]
    upload(standing, content)
    assert send(standing, file).status == 201


def test_too_many_files_are_refused(standing: Gateway) -> None:
    file = {"name": "a", **upload(standing, b"abc")}
    refused = send(standing, *[file] * 17)
    assert (refused.status, refused.json["code"], refused.json["limit"]) == (400, "TOO_MANY", 16)


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "a\nb", "\u202egnp.exe", "x" * 300 + ".txt", "-rf", ".bashrc", "", "a\\..\\b", "\x00"],
)
def test_a_hostile_name_is_made_safe(standing: Gateway, name: str) -> None:
    message_id = sent_as(standing, b"abc", name)
    [file] = standing.ask("GET", f"/api/messages/{message_id}", headers=ANN).json["attachments"]
    assert 0 < len(file["name"].encode()) <= ATTACHMENT_NAME_BYTES_MAX
    assert file["name"].isprintable()
    assert not set(file["name"]) & {"/", "\\"}
    assert file["name"][0] not in ".-"
    assert fetch(standing, message_id, file["name"]).body == b"abc"


# --- downloads ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["", "?inline=0", "?inline=1"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("page.html", HTML),
        ("shot.png", HTML),
        ("draw.svg", b"<svg onload='x()'/>"),
        ("a.pdf", b"%PDF-1.7"),
        ("a", b""),
    ],
)
def test_a_file_is_sent_to_be_saved(standing: Gateway, name: str, content: bytes, query: str) -> None:
    answer = fetch(standing, sent_as(standing, content, name), name, query)
    assert (answer.status, answer.body) == (200, content)
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == f"attachment; filename*=UTF-8''{name}"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert answer.headers["content-length"] == str(len(content))


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("shot.png", PNG, "image/png"),
        ("shot.txt", b"\xff\xd8\xff\xe0" + bytes(9), "image/jpeg"),
        ("a.gif", b"GIF89a" + bytes(9), "image/gif"),
        ("a.webp", b"RIFF\x01\x02\x03\x04WEBPVP8 ", "image/webp"),
    ],
)
def test_an_image_is_shown_if_its_bytes_are_those_of_one(
    standing: Gateway, name: str, content: bytes, kind: str
) -> None:
    message_id = sent_as(standing, content, name)
    shown = fetch(standing, message_id, name, "?inline=1")
    assert (shown.headers["content-type"], shown.body) == (kind, content)
    assert shown.headers["content-disposition"].startswith("inline; ")
    assert shown.headers["x-content-type-options"] == "nosniff"
    saved = fetch(standing, message_id, name)
    assert saved.headers["content-type"] == "application/octet-stream"


def test_a_name_adds_no_header(standing: Gateway) -> None:
    name = 'a"; x=y \u00fc%0d.txt'
    answer = fetch(standing, sent_as(standing, b"abc", name), name)
    assert answer.status == 200
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''a%22%3B%20x%3Dy%20%C3%BC%250d.txt"


def test_head_sends_no_content(standing: Gateway) -> None:
    answer = fetch(standing, sent_as(standing, LARGE, "big.bin"), "big.bin", method="HEAD")
    assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"", str(len(LARGE)))


def test_only_those_who_may_see_the_message_get_the_file(standing: Gateway, office: PostOffice) -> None:
    office.sessions("cid")
    message_id = sent_as(standing, b"abc", "a.txt")
    path = f"/api/messages/{message_id}/attachments/a.txt"
    for caller, status in (("ann", 200), ("bob", 200), ("operator", 200), ("cid", 404)):
        assert standing.ask("GET", path, headers={"X-Session-ID": caller}).status == status
    assert fetch(standing, message_id, "other.txt").json["code"] == "BLOB_NOT_FOUND"
    assert fetch(standing, "msg_nowhere", "a.txt").json["code"] == "MESSAGE_NOT_FOUND"


def test_a_receiver_with_a_token_needs_to_name_no_session(standing: Gateway, office: PostOffice) -> None:
    office.session("safe", token="secret-token")
    file = {"name": "a.txt", **upload(standing, b"abc")}
    answer = standing.ask("POST", "/api/messages", {"to": "safe", "message": "x", "attachments": [file]}, headers=ANN)
    path = f"/api/messages/{answer.json['id']}/attachments/a.txt"
    got = standing.ask("GET", path, headers={"Authorization": "Bearer secret-token"})
    assert (got.status, got.body) == (200, b"abc")


def test_a_file_whose_message_is_deleted_is_gone(standing: Gateway) -> None:
    message_id = sent_as(standing, b"abc", "a.txt")
    assert standing.ask("DELETE", f"/api/messages/{message_id}", headers={"X-Session-ID": "bob"}).status == 204
    assert fetch(standing, message_id, "a.txt").status == 404
