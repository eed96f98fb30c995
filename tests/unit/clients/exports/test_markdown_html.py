"""Markdown as HTML: what is rendered, and that no text becomes markup."""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_clients.exports import markdown_html
from maestro_clients.exports.markdown_html import ELEMENTS, Element


def rendered(text: str) -> str:
    return markdown_html.html(markdown_html.tree(text))


_HEAD = "<table><thead><tr><th>a</th><th>b</th></tr></thead>"
CASES = [
    ("", ""),
    ("one\ntwo", "<p>one<br>two</p>"),
    ("a\n\nb", "<p>a</p><p>b</p>"),
    ("# A *b* #", "<h4>A <em>b</em></h4>"),
    ("###### deep", "<h6>deep</h6>"),
    ("#no heading", "<p>#no heading</p>"),
    ("**b** __c__ *d* _e_ ~~f~~", "<p><strong>b</strong> <strong>c</strong> <em>d</em> <em>e</em> <del>f</del></p>"),
    ("***both***", "<p><strong><em>both</em></strong></p>"),
    ("**a\nb**", "<p><strong>a<br>b</strong></p>"),
    ("snake_case_name 2 * 3 * 4 ** x **", "<p>snake_case_name 2 * 3 * 4 ** x **</p>"),
    (r"\*not\* \_it\_ \`c\`", "<p>*not* _it_ `c`</p>"),
    ("`a*b*` ``x ` y`` ` z `", "<p><code>a*b*</code> <code>x ` y</code> <code>z</code></p>"),
    ("`open", "<p>`open</p>"),
    ("```py\nif a < b:\n    x = '*'\n```", "<pre><code>if a &lt; b:\n    x = &#39;*&#39;</code></pre>"),
    ("~~~\n```\n~~~", "<pre><code>```</code></pre>"),
    ("````\n```\n````\nx", "<pre><code>```</code></pre><p>x</p>"),
    ("```\nno end", "<pre><code>no end</code></pre>"),
    ("    code\n    more", "<pre><code>code\nmore</code></pre>"),
    ("- a\n- b\n  - c\n\n  d", "<ul><li>a</li><li>b<ul><li>c</li></ul><p>d</p></li></ul>"),
    ("- a\n\n- b", "<ul><li>a</li><li>b</li></ul>"),
    ("1. a\n2. b", "<ol><li>a</li><li>b</li></ol>"),
    ("3) a", '<ol start="3"><li>a</li></ol>'),
    ("- a\n* b", "<ul><li>a</li></ul><ul><li>b</li></ul>"),
    ("- [ ] open\n- [x] done", "<ul><li>☐ open</li><li>☑ done</li></ul>"),
    ("- a\n  goes on\n- ", "<ul><li>a<br>goes on</li><li></li></ul>"),
    ("> a\n> > b\n> - c", "<blockquote><p>a</p><blockquote><p>b</p></blockquote><ul><li>c</li></ul></blockquote>"),
    ("---", "<hr>"),
    ("text\n---", "<p>text</p><hr>"),
    (
        "| a |\n|:-:|\n| x\\|y |\n| |\nend",
        "<table><thead><tr><th>a</th></tr></thead><tbody><tr><td>x|y</td></tr><tr><td></td></tr></tbody></table><p>end</p>",
    ),
    ("a | b\n-|-\n1|", f"{_HEAD}<tbody><tr><td>1</td><td></td></tr></tbody></table>"),
    ("a | b\n--- | ---", f"{_HEAD}<tbody></tbody></table>"),
    ("a | b\nno rule", "<p>a | b<br>no rule</p>"),
    ("<b>x</b> &amp; <!-- -->", "<p>&lt;b&gt;x&lt;/b&gt; &amp;amp; &lt;!-- --&gt;</p>"),
]


@pytest.mark.parametrize(("text", "html"), CASES, ids=[repr(text)[:30] for text, _ in CASES])
def test_what_is_rendered(text: str, html: str) -> None:
    assert rendered(text) == html


_REL = 'rel="noopener noreferrer nofollow"'
_X = 'href="https://x.example" rel="noopener noreferrer nofollow"'
_HOST = '<span class="host">(x.example)</span>'
LINKS = [
    ("[a](https://x.example/b)", f'<a href="https://x.example/b" {_REL}>a</a> {_HOST}'),
    ("![i](https://x.example/p.png)", f'<a href="https://x.example/p.png" {_REL}>i</a> {_HOST}'),
    ("see https://x.example/a_b(c).", f'see <a href="https://x.example/a_b(c)" {_REL}>https://x.example/a_b(c)</a>.'),
    ("<https://x.example>", f"<a {_X}>https://x.example</a>"),
    ("[https://y.example](https://x.example)", f"<a {_X}>https://y.example</a> {_HOST}"),
    ("[**https://y.example**](https://x.example)", f"<a {_X}><strong>https://y.example</strong></a> {_HOST}"),
    (
        "https://x.example?a=1&b=2",
        f'<a href="https://x.example?a=1&amp;b=2" {_REL}>https://x.example?a=1&amp;b=2</a>',
    ),
]


@pytest.mark.parametrize(("text", "html"), LINKS, ids=[text for text, _ in LINKS])
def test_links_show_their_host(text: str, html: str) -> None:
    assert rendered(text) == f"<p>{html}</p>"


@pytest.mark.parametrize(
    "text",
    [
        "[a](javascript:alert(1))",
        "[a](data:text/html,x)",
        "[a](file:///etc/passwd)",
        "[a](//x.example)",
        "[a](/ui/)",
        "[a](https://known.example@evil.example)",
        "[a](https://xn\u00e4me.example)",
        "[a](https://x\u202e.example)",
        "[a](https://)",
        "https://known.example@evil.example",
        "https://[::1",
        "xhttps://x.example",
    ],
)
def test_no_link(text: str) -> None:
    assert "<a" not in rendered(text)


def test_the_writer_refuses_what_is_not_of_the_list() -> None:
    for element in (
        Element("script", ("x",)),
        Element("p", (), (("onclick", "x"),)),
        Element("a", (), (("href", "javascript:x"),)),
        Element("p", (Element("img"),)),
    ):
        with pytest.raises(ValueError, match=r"script|p|href|img"):
            markdown_html.html([element])


class Reader(HTMLParser):
    """Reads a page as a browser does, and keeps what it found."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ELEMENTS
        for name, value in attrs:
            assert name in ELEMENTS[tag]
            if name == "href":
                assert urlsplit(value or "").scheme in ("http", "https")
        if tag not in ("br", "hr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    def handle_decl(self, decl: str) -> None:
        raise AssertionError(decl)

    def handle_pi(self, data: str) -> None:
        raise AssertionError(data)

    def unknown_decl(self, data: str) -> None:
        raise AssertionError(data)


HOSTILE = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "</code></pre><script>", "<!--", "]]>", "<?x",
    "&lt;script&gt;", "\"'><svg onload=1>", "[x](https://a.example/\"onmouseover=x)", "[<img>](https://a.example)",
    "https://a.example/<script>", "`<b>`", "```<script>\n</script>\n```", "| <i> |\n|-|\n| </td><script> |",
    "- <li>", "> <q>", "# <h1>", "**<b>**", "[a](https://a.example/'><b>)", "![<](https://a.example)",
]  # fmt: skip
_PARTS = st.sampled_from(
    [*HOSTILE, "*", "_", "`", "```\n", "~~", "[", "](", ")", "http://", "https://a.b", "|", "\n", "\n\n", "- ", "1. ",
     "> ", "# ", "    ", "\\", "<", ">", "&", '"', "'", "|-|-|\n", "a", " ", "\t", "\u202e", "\0", "[ ] ", "é"]
)  # fmt: skip


@given(st.one_of(st.text(max_size=200), st.lists(_PARTS, max_size=40).map("".join)))
def test_no_text_is_markup(text: str) -> None:
    reader = Reader()
    reader.feed(rendered(text))
    reader.close()
    assert reader.open == []


@given(st.text(alphabet="abc <&\"'", max_size=60))
def test_no_text_is_lost(text: str) -> None:
    """Of a text without marks, a reader sees every word."""
    reader = Reader()
    reader.feed(rendered(text))
    reader.close()
    assert " ".join(reader.texts).split() == text.split()


@pytest.mark.parametrize(
    "part",
    ["**a ", "[a", "`", "`a``b```c", "*a", "> ", "- ", "_a ", "https://a(", "|a", "\\", "http://", "<https://",
     "![a](https://a", "~~a ", "*_", "  - a\n", "**", "(((", "a\n\n", "- a\n\n", "[a](https://a", "&", "1. a\n"],
)  # fmt: skip
def test_a_long_text_of_one_mark_is_rendered(part: str) -> None:
    """As long as a message may be: a rule that looks back and forth for each mark would not end."""
    text = part * (10_000 // len(part))
    reader = Reader()
    reader.feed(rendered(text))
    assert reader.open == []


@pytest.mark.parametrize(
    "text",
    [
        "# a" + " " * 100_000 + "x",
        "# a" + "#" * 100_000 + "x",
        "- " * 50_000 + "x",
        "a|b\n|" + "- " * 50_000 + "x|",
        "a|b\n|" + " " * 100_000 + "x|",
        "http://" + "(a)" * 30_000 + "(",
        "~~~" + " " * 100_000 + "`",
        "-" + " " * 100_000 + "x",
    ],
    ids=lambda text: text[:6],
)
def test_a_long_line_takes_no_time_that_grows_faster_than_it(text: str) -> None:
    """With a pattern that tries each split of a run, one of these would take days, and hold the whole process."""
    assert markdown_html.tree(text)


def test_the_marks_behind_a_heading_go() -> None:
    assert [rendered(f"# {end}") for end in ("a ##  ", "a#", "", "##", "a # b")] == [
        "<h4>a</h4>",
        "<h4>a</h4>",
        "<h4></h4>",
        "<h4></h4>",
        "<h4>a # b</h4>",
    ]
