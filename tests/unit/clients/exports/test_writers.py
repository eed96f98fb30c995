"""An export in its three formats."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_clients.exports import writers
from maestro_clients.exports.collecting import Export, ExportEntry, ExportQuery
from maestro_clients.exports.writers import ExportSettings
from maestro_schemas.messages import Message

AT = 1_796_047_331_000
FILE = {"name": "fix [1].patch", "size": 5, "type": "text/plain", "sha256": "ab" * 32}


def entry(text: str, **more: Any) -> ExportEntry:
    said = {name: more.pop(name) for name in ("receivers", "counts") if name in more}
    receipt = more.pop("receipt", None)
    message = {
        "id": "msg_1",
        "from": "s_ann",
        "to": "s_ben",
        "message": text,
        "status": "read",
        "seq": 1,
        "createdAt": AT,
        **more,
    }
    return ExportEntry(cast("Any", {"lsn": 1, "message": message, **said}), receipt)


def export(*entries: ExportEntry, more: bool = False, **query: Any) -> Export:
    return Export(ExportQuery(**query), list(entries), {"s_ann": {"role": "worker", "name": "an_n"}}, more)


def written(kind: writers.Format, found: Export, **settings: Any) -> str:
    return "".join(writers.FORMATS[kind].write(found, ExportSettings("s_ann", AT, **settings)))


def test_markdown_has_the_text_as_it_is() -> None:
    text = "a\n```py\n````\nx\n"
    metadata = {"data": {"a": "`"}, "type": "request"}
    audience = {"to": ["@work`ers"], "size": 2}
    page = written("md", export(entry(text, metadata=metadata, audience=audience, attachments=[FILE])))
    assert f"`````text\n{text}\n`````" in page
    assert '```json\n{"a": "`"}\n```' in page
    # An audience is code, and a name can't be emphasis.
    assert '### an\\_n → `@"work\'ers" (2)`' in page or "### an\\_n → `@" in page
    assert "`msg_1` · request" in page
    assert "- file: fix \\[1\\].patch, 5 B, sha256 abababababab…" in page


def test_markdown_leads_to_saved_files() -> None:
    page = written("md", export(entry("x", attachments=[FILE])), files={FILE["sha256"]: "files/ab-fix.patch"})
    assert "](<files/ab-fix.patch>)" in page


@given(st.text(max_size=100))
def test_no_text_ends_its_fence(text: str) -> None:
    page = written("md", export(entry(text)))
    fence = re.search(r"^(`{3,})text$", page, re.MULTILINE)
    assert fence is not None
    assert max(map(len, re.findall("`+", page[fence.end() :].rpartition(fence[1])[0])), default=0) < len(fence[1])


def test_json_lines_can_be_read_again() -> None:
    receipt = {"id": "msg_1", "counts": {}, "recipients": [{"to": "s_ben", "state": "read", "presence": {"x": 1}}]}
    found = export(entry("a\nb", receipt=receipt), entry("c", metadata={"data": 1}), more=True, peer="s_ben")
    lines = [json.loads(line) for line in written("jsonl", found).splitlines()]
    header, first, second, end = lines
    assert header["kind"] == "export"
    assert header["version"] == 1
    assert (header["askedBy"], header["at"], header["query"]) == ("s_ann", AT, {"peer": "s_ben"})
    assert first["receipt"]["recipients"] == [{"to": "s_ben", "state": "read"}]
    assert end == {"kind": "end", "messages": 2, "hasMore": True}
    assert [msgspec.convert(line["message"], Message).text for line in (first, second)] == ["a\nb", "c"]
    assert json.loads(written("jsonl", Export(ExportQuery(), [], {}, False)).splitlines()[0])["query"] == {}


@pytest.mark.parametrize("kind", ["md", "jsonl", "html"])
def test_without_texts(kind: writers.Format) -> None:
    found = export(entry("secret", metadata={"data": {"k": "hidden"}, "type": "request"}), entry("secret"))
    page = written(kind, found, with_texts=False)
    assert "secret" not in page
    assert "hidden" not in page
    assert "request" in page
    if kind == "jsonl":
        document = json.loads(page.splitlines()[1])["message"]
        assert msgspec.convert(document, Message).text == ""


class Page(HTMLParser):
    """What a browser would do with the page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.policy = ""
        self.style = ""
        self.texts: list[str] = []
        self._in_style = False
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        values = dict(attrs)
        assert not any(name.startswith("on") or name == "style" or name == "src" for name in values)
        if values.get("http-equiv") == "Content-Security-Policy":
            self.policy = values["content"] or ""
        self._in_style = tag == "style"
        if tag not in ("meta", "br", "hr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        self._in_style = False

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.style += data
        else:
            self.texts.append(data)


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    hostile = "<script>alert(1)</script>\n</div></article>![x](https://a.example/p.png)"
    metadata = {"taskId": "<b>", "data": {"</code>": "<script>"}}
    name = {**FILE, "name": "<svg onload=1>"}
    found = export(entry(hostile, metadata=metadata, attachments=[name, FILE]), query="<script>")
    page = Page()
    page.feed(written("html", found, files={FILE["sha256"]: 'files/"x'}))
    page.close()
    assert page.open == []
    assert {"script", "img", "svg", "b", "iframe", "link", "object"}.isdisjoint(page.tags)
    digest = base64.b64encode(hashlib.sha256(page.style.encode()).digest()).decode()
    assert page.policy == (f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'")
    assert "<script>alert(1)</script>" in "".join(page.texts)
    assert "an_n" in "".join(page.texts)
