"""The page's files: one document for every path of the page, and the files that it loads."""

from __future__ import annotations

import gzip
import hashlib
import os
import subprocess
import tomllib
from typing import TYPE_CHECKING

import pytest

from maestro_gateway.http.page.web_files import FOLDER, INDEX
from support.wire_http import ask, head, refused

if TYPE_CHECKING:
    from support.gateways import Gateway

POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
    "require-trusted-types-for": "'script'",
    "trusted-types": "lit-html",
}
KINDS = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml", "json": "application/json"}


def shipped() -> list[str]:
    """The path below `/web/` of each file that is served there: not the page itself, and not the checker's types."""
    found = [
        os.path.relpath(os.path.join(folder, name), FOLDER) for folder, _, names in os.walk(FOLDER) for name in names
    ]
    return sorted(name for name in found if not name.endswith((".html", ".d.ts")))


@pytest.fixture
def gateway(standing: Gateway) -> Gateway:
    return standing


@pytest.mark.parametrize("path", ["/ui", "/ui/", "/ui/s/ann", "/ui/c/ann/bob", "/ui/search?q=%22a%22", "/ui/m/a%2Fb"])
def test_each_path_of_the_page_is_the_page(gateway: Gateway, path: str) -> None:
    answer = gateway.ask("GET", path)
    with open(os.path.join(FOLDER, INDEX), "rb") as file:
        assert answer.body == file.read()
    assert answer.status == 200
    headers = answer.headers
    assert headers["content-type"] == "text/html; charset=utf-8"
    parts = [part.strip().partition(" ") for part in headers["content-security-policy"].split(";")]
    assert {name: value for name, _, value in parts} == POLICY
    assert headers["cross-origin-opener-policy"] == headers["cross-origin-resource-policy"] == "same-origin"
    assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")
    assert headers["cache-control"] == "no-cache"
    assert not [name for name in headers if name.startswith("access-control-") or name == "set-cookie"]


def test_the_page_takes_no_other_method(gateway: Gateway) -> None:
    for path in ("/ui/", "/ui/s/ann", "/web/docs.css"):
        answer = gateway.ask("POST", path, {})
        assert (answer.status, answer.json["code"]) == (405, "METHOD_NOT_ALLOWED")


@pytest.mark.parametrize("name", shipped())
def test_each_file_has_its_kind_and_the_digest_as_its_tag(gateway: Gateway, name: str) -> None:
    answer = gateway.ask("GET", f"/web/{name}")
    with open(os.path.join(FOLDER, name), "rb") as file:
        content = file.read()
    assert (answer.status, answer.body) == (200, content)
    kind = KINDS.get(os.path.splitext(name)[1][1:], "text/plain")
    assert answer.headers["content-type"].partition(";")[0] == kind
    tag = answer.headers["etag"]
    assert tag.strip('"') == hashlib.sha256(content).hexdigest()[:32]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert gateway.ask("GET", f"/web/{name}", headers={"If-None-Match": tag}).status == 304


def test_a_file_that_the_browser_has(gateway: Gateway) -> None:
    """Asked for each time, sent only after a change; HEAD is GET without the bytes."""
    whole = gateway.ask("GET", "/ui/")
    tag = whole.headers["etag"]
    for known in (tag, f'"0", {tag}', f"W/{tag}", "*"):
        answer = gateway.ask("GET", "/ui/s/ann", headers={"If-None-Match": known})
        assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", tag)
        assert "trusted-types" in answer.headers["content-security-policy"]
    assert gateway.ask("GET", "/ui/", headers={"If-None-Match": '"0"'}).status == 200
    top = gateway.ask("HEAD", "/ui/")
    assert (top.status, top.body) == (200, b"")
    assert (top.headers["content-length"], top.headers["etag"]) == (str(len(whole.body)), tag)


@pytest.mark.parametrize(
    "path",
    [
        "/web/ui/../../app.py",
        "/web/ui/%2e%2e/%2e%2e/app.py",
        "/web/ui%2f..%2f..%2fapp.py",
        "/web/..%2fpy.typed",
        "/web/ui/..",
        "/web//etc/passwd",
        "/web/%2fetc%2fpasswd",
        "/web/ui",
        "/web/ui/",
        "/web/ui/.hidden.js",
        "/web/ui/none.js",
        "/web/ui/index.html",
        "/web/docs.css/",
        "/web/ui/app.js\\..\\x.js",
    ],
)
def test_nothing_else_is_a_file(gateway: Gateway, path: str) -> None:
    refused(ask(gateway, head(path)), "NOT_FOUND")


def test_a_name_that_points_here_gets_no_page(gateway: Gateway) -> None:
    for path in ("/ui", "/ui/", "/ui/s/ann", "/web/docs.css"):
        refused(ask(gateway, head(path, host=b"Host: rebound.example\r\n")), "HOST_REFUSED")


def test_the_wheel_has_every_file() -> None:
    """The page needs no build: what the package's folder has is what is installed, but what git ignores."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(FOLDER)))
    with open(os.path.join(root, "pyproject.toml"), "rb") as file:
        packages = tomllib.load(file)["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert os.path.relpath(os.path.dirname(FOLDER), root) in packages
    if os.path.exists(os.path.join(root, ".git")):
        names = [os.path.join(FOLDER, name) for name in [*shipped(), INDEX]]
        git = ["git", "-C", root, "check-ignore", "--no-index", *names]
        said = subprocess.run(git, check=False, capture_output=True, text=True)
        assert (said.returncode, said.stdout) == (1, "")


def test_a_browser_gets_a_file_packed_and_with_a_tag_of_its_own(standing: Gateway) -> None:
    path = "/web/ui/base.css"
    plain = standing.ask("GET", path)
    packed = standing.ask("GET", path, headers={"Accept-Encoding": "gzip, br"})
    assert gzip.decompress(packed.body) == plain.body
    assert packed.headers["content-encoding"] == "gzip"
    assert (plain.headers["vary"], packed.headers["vary"]) == ("Accept-Encoding", "Accept-Encoding")
    assert plain.headers["etag"] != packed.headers["etag"]
    known = {"Accept-Encoding": "gzip", "If-None-Match": packed.headers["etag"]}
    assert standing.ask("GET", path, headers=known).status == 304
    assert standing.ask("GET", path, headers={"If-None-Match": packed.headers["etag"]}).body == plain.body
