"""XSS: a text of an agent is never markup and never script, in whatever field it stands, in each view."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from maestro_schemas.errors import MaestroError
from support.team import PROJECT, Team

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Page

    from support.browser import Chromium, Window
    from support.gateways import Gateway

# Each would set `window.hacked` if it ran.
CORPUS = (
    "<script>hacked=1</script>",
    "<img src=x onerror=hacked=1>",
    "<svg onload=hacked=1><a xlink:href=javascript:hacked=1>x</a></svg>",
    "\"><iframe srcdoc='<script>parent.hacked=1</script>'>",
    "'-hacked=1-'",
    "[a](javascript:hacked=1) [b](JaVaScRiPt&colon;hacked=1) [c](data:text/html,<script>hacked=1</script>)",
    '![x](https://example.invalid/x.png) ![y](x" onerror="hacked=1)',
    '[https://bank.example](https://evil.example/"onmouseover=hacked=1) https://bank.example@evil.example/',
    '```"><script>hacked=1</script>\n<img src=x onerror=hacked=1>\n```',
    "| <img src=x onerror=hacked=1> | b |\n|---|---|\n| <script>hacked=1</script> | `<b>` |",
    "<style>*{display:none}</style><link rel=stylesheet href=//evil.example><base href=//evil.example>",
    "<form action=//evil.example><input name=q autofocus onfocus=hacked=1></form><math><mtext></mtext></math>",
    "${hacked=1} {{constructor.constructor('hacked=1')()}} <!--?lit$1$--> <?lit$0$?>",
    "> <details open ontoggle=hacked=1>\n\n# <h1 onclick=hacked=1>\n- <a href='vbscript:hacked=1'>x</a>",
)
ALLOWED = [
    *(
        "p",
        "h4",
        "strong",
        "em",
        "s",
        "code",
        "pre",
        "a",
        "span",
        "bdi",
        "ul",
        "ol",
        "li",
        "blockquote",
        "hr",
        "mark",
    ),
    *("table", "thead", "tbody", "tr", "th", "td", "div", "figure", "figcaption", "button", "svg", "path"),
]
NEVER = ["script", "iframe", "object", "embed", "base", "link", "style", "form", "meta", "math", "details"]
VIEWS = (
    "/ui/", "/ui/inbox", "/ui/threads", "/ui/s/{ann}", "/ui/c/{ann}/{ben}", "/ui/t/{first}",
    "/ui/m/{first}", "/ui/m/{spread}", "/ui/m/{file}", "/ui/search?q=hacked", "/ui/stats", "/ui/health",
)  # fmt: skip
_WATCH = """
window.reports = [];
document.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI, sample }) => {
  window.reports.push(`${violatedDirective} ${blockedURI} ${sample}`);
});
window.alert = window.print = () => { window.hacked = 1; };
"""
# What agents' texts became: elements that are not allowed, handlers, addresses that are not http(s) or of the page.
_TREE = """([allowed, never]) => {
  const found = [];
  for (const each of document.querySelectorAll("body *")) {
    const name = each.localName, text = each.closest(".text"), href = each.getAttribute("href") ?? "";
    if (never.includes(name)) found.push(name);
    if (text && text !== each && !allowed.includes(name)) found.push(name);
    for (const { name: attribute, value } of each.attributes) {
      if (/^(on.*|srcdoc|style)$/.test(attribute)) found.push(`${name} ${attribute}`);
      const leads = /^(href|src|action|xlink:href)$/.test(attribute);
      const isOwn = /^(https?:\\/\\/|\\/(ui|api|web|docs)\\b)/.test(value);
      if (leads && !isOwn) found.push(`${name} ${attribute}=${value}`);
      if (attribute === "src" && !value.startsWith("/api/")) found.push(`${name} src=${value}`);
    }
    if (/^https?:/.test(href) && !(each.rel.includes("noopener") && text)) found.push("a link that leaves the page");
  }
  return found;
}"""


@pytest.fixture
def window(chromium: Chromium, window_gateway: Gateway) -> Iterator[Window]:
    opened = chromium.window(window_gateway)
    opened.page.add_init_script(_WATCH)
    yield opened
    problems = [each for each in opened.problems if "404" not in each]
    opened.close()
    assert problems == []


def hostile(team: Team, folder: Path) -> dict[str, str]:
    """The corpus in every field that an agent chooses, where the post office takes it."""
    ids: dict[str, str] = {}
    with team.office.client() as anyone:
        for number, text in enumerate(CORPUS):
            given: dict[str, Any] = {
                "role": "worker",
                "project_id": PROJECT,
                "name": text[:60],
                "agent": text[:30],
                "cwd": text[:100],
            }
            for field in ("name", "agent", "cwd", "project_id"):
                try:
                    name = f"bad{number}-{field.replace('_', '-')}"
                    fields = {**given, "project_id": text[:60]} if field == "project_id" else given
                    ids[name] = anyone.start_session(name, **fields)["id"]
                    break
                except MaestroError:
                    given.pop(field, None)
    for number, text in enumerate(CORPUS):
        more: dict[str, Any] = {
            "taskId": text[:100].replace("\n", " "),
            "data": {text: [text, {"<b>": text}]},
            "type": "request",
        }
        for to in ("ben", "operator"):
            ids[f"{to}{number}"] = team.post("ann", to, text, **more)
        team.post("ben", "ann", text, ids[f"ben{number}"])
    for number, text in enumerate(CORPUS):
        file = folder / f"{text.replace('/', '|').replace(chr(10), ' ')[:50]}.{'png' if number % 2 else 'patch'}"
        file.write_text(text)
        with team.office.client(team.ids["ann"]) as ann:
            ids["file"] = ann.send("ben", "a file", attachments=[file])["id"]
    ids["first"] = ids["ben0"]
    ids["spread"] = team.post("lead", "@workers", "\n\n".join(CORPUS), data=list(CORPUS[:4]))
    for name, text in zip(("ann", "ben", "cid", "dee"), CORPUS, strict=False):
        with team.office.client(team.ids[name]) as one:
            one.touch_session(needsInput={"active": True, "message": text})
    return ids


def check(window: Window, page: Page) -> None:
    assert page.evaluate(_TREE, [ALLOWED, NEVER]) == []
    assert page.evaluate("window.hacked") is None
    assert page.evaluate("window.reports") == []


def test_no_field_of_an_agent_becomes_markup_or_script_in_any_view(
    window: Window, team: Team, tmp_path: Path
) -> None:
    ids = {**team.ids, **hostile(team, tmp_path)}
    assert any(name.startswith("bad") for name in ids)
    team.group("reviews", "ann", "ben")
    for path in (*VIEWS, "/ui/g/reviews", *(f"/ui/s/{ids[name]}" for name in ids if name.startswith("bad"))):
        page = window.open(path.format(**ids))
        for name in ("Raw", "JSON"):
            button = page.get_by_role("button", name=name, exact=True)
            if button.count():
                button.first.click()
                check(window, page)
                button.first.click()
        for toggle in page.locator(".more button").all()[:4]:
            toggle.click()
        check(window, page)
        # What a click, the pointer and the keyboard may do with it.
        row = page.locator("[data-row]").first
        if row.count():
            row.hover()
            row.click(position={"x": 400, "y": 8})
            page.wait_for_load_state("networkidle")
        check(window, page)


def test_a_link_shows_its_host_and_nothing_else_can_be_clicked(window: Window, team: Team) -> None:
    text = (
        "[https://bank.example](https://evil.example/login) <https://plain.example/a_b> "
        "https://bank.example@evil.example/x "
        "[no](javascript:hacked=1) [no](/ui/inbox) [no](ftp://x.example) www.example.com"
    )
    sent = team.post("ann", "operator", text)
    page = window.open(f"/ui/m/{sent}")
    links = page.locator(".text a")
    addresses = [each.get_attribute("href") for each in links.all()]
    assert addresses == [
        "https://evil.example/login",
        "https://plain.example/a_b",
        "https://bank.example@evil.example/x",
    ]
    expect(page.locator(".text .host")).to_have_text(["(evil.example)", "(evil.example)"])
    for each in links.all():
        expect(each).to_have_attribute("rel", "noopener noreferrer nofollow")
        expect(each).to_have_attribute("target", "_blank")


# Parts of Markdown, of HTML, and of what breaks parsers.
_PARTS = (
    *CORPUS, "*", "**", "_", "`", "```", "~~~", "~~", "[", "](", ")", "!", "#", "## ", "> ", "- ", "1. ", "\n",
    "\n\n",
    "    ", "|", "|-|-|\n", "<", ">", "&lt;", "\\", "https://a.example/", "http://", "word", " ", "---", "***", "\t",
    "é", "שלום", "\u202e", "\x00", "🙂", "${x}", "<!--", "-->",
)  # fmt: skip
_RENDER = """async ([texts, allowed]) => {
  const { render } = await import("/web/ui/vendor/lit-html/lit-html.js");
  const { blocks, inline, summary, firstLine } = await import("/web/ui/markdown.js");
  const box = document.createElement("div");
  box.className = "text";
  document.body.append(box);
  const wrong = [];
  for (const text of texts) {
    const part = document.createElement("div");
    box.append(part);
    render([blocks(text), inline(text), summary(text).flow, firstLine(text)], part);
    for (const each of part.querySelectorAll("*")) {
      const isBad = ({ name, value }) => name.startsWith("on") || (name === "href" && !/^https?:/.test(value));
      if ([...each.attributes].some(isBad) || !allowed.includes(each.localName)) wrong.push([text, each.outerHTML]);
    }
    part.remove();
  }
  box.remove();
  return wrong;
}"""


@pytest.mark.parametrize("seed", range(3))
def test_whatever_markdown_gives_has_only_allowed_tags(window: Window, team: Team, seed: int) -> None:
    source = random.Random(seed)
    texts = ["".join(source.choices(_PARTS, k=source.randint(1, 40))) for _ in range(1_500)]
    page = window.open()
    assert page.evaluate(_RENDER, [texts, ALLOWED]) == []
    check(window, page)


HARD = (
    "*", "**", "_a", "`", "`a``", "[", "[a](", "![", "~~", ">", "> ", "- ", "1. ", "|", "a|b\n", "#", "\n", " ",
    "    ", "```\n",
    "\\", "*a ", "**a ", "https://", "https://a.example/ ", "<", "-", "- - ", "***a", "a\n- b\n", "h",
)  # fmt: skip


def test_no_text_of_64_kib_keeps_the_page_busy(window: Window, team: Team) -> None:
    page = window.open()
    slow = page.evaluate(
        """async (parts) => {
        const { blocks, summary, firstLine } = await import("/web/ui/markdown.js");
        return parts.map((part) => {
          const text = part.repeat(Math.ceil(65536 / part.length)), began = performance.now();
          blocks(text), summary(text), firstLine(text);
          return [part, performance.now() - began];
        }).filter(([, took]) => took > 1000);
        }""",
        list(HARD),
    )
    assert slow == []


MARKDOWN = {
    "# Title": "<h4>Title</h4>",
    "a *b* **c** ~~d~~ `e`": "<p>a <em>b</em> <strong>c</strong> <s>d</s> <code>e</code></p>",
    "snake_case_name and 2 * 3 * 4": "<p>snake_case_name and 2 * 3 * 4</p>",
    "**bold with `code`**": "<p><strong>bold with <code>code</code></strong></p>",
    "- a\n  - b\n- c": "<ul><li><p>a</p><ul><li><p>b</p></li></ul></li><li><p>c</p></li></ul>",
    "3. a\n4. b": "<ol><li><p>a</p></li><li><p>b</p></li></ol>",
    "> a\n> b": "<blockquote><p>a\nb</p></blockquote>",
    "a\n\n---\n\nb": "<p>a</p><hr><p>b</p>",
    "| a | b |\n|---|--:|\n| 1 | 2 |": "<table><thead><tr><th>a</th><th>b</th></tr></thead>"
    "<tbody><tr><td>1</td><td>2</td></tr></tbody></table>",
    "``a ` b``": "<p><code>a ` b</code></p>",
    "\\*a\\*": "<p>*a*</p>",
    "<b>a</b>": "<p>&lt;b&gt;a&lt;/b&gt;</p>",
}


def test_the_subset_of_markdown_is_the_documented_one(window: Window, team: Team) -> None:
    page = window.open()
    got = page.evaluate(
        """async (texts) => {
        const { render } = await import("/web/ui/vendor/lit-html/lit-html.js");
        const { blocks } = await import("/web/ui/markdown.js");
        return texts.map((text) => {
          const box = document.createElement("div");
          render(blocks(text), box);
          for (const each of box.querySelectorAll("div, bdi")) each.replaceWith(...each.childNodes);
          for (const each of box.querySelectorAll("*"))
            for (const name of each.getAttributeNames()) each.removeAttribute(name);
          return box.innerHTML.replace(/<!--.*?-->/g, "").replace(/\\n\\s{3,}/g, "");
        });
        }""",
        list(MARKDOWN),
    )
    assert dict(zip(MARKDOWN, got, strict=True)) == MARKDOWN


# Of the most characters that a text may have.
_LONG = {
    "code in a blank": "` " + "x" * 199_990 + "`",
    "brackets behind addresses": ("http://[" * 100 + ")" * 1_190 + "x ") * 100,
    "runs of backticks": "".join("`" * number + "a" for number in range(1, 630)),
    "marks without an end": "*a **a " * 28_000,
    "nested quotes": ">" * 199_990,
    "nested lists": "- " * 99_990,
    "links without an end": "[a](http://" * 18_000,
}
_MS_MAX = 10_000


@pytest.mark.parametrize("name", _LONG)
def test_no_text_holds_the_page(window: Window, team: Team, name: str) -> None:
    """A pattern that tries each beginning with each end would take a minute, and the person could do nothing."""
    page = window.open()
    took_ms = page.evaluate(
        """async (text) => {
          const { blocks, summary, firstLine } = await import("/web/ui/markdown.js");
          const began = performance.now();
          blocks(text), summary(text), firstLine(text);
          return performance.now() - began;
        }""",
        _LONG[name],
    )
    assert took_ms < _MS_MAX
