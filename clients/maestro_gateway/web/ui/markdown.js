// Markdown: an own subset of Markdown, from text to templates. Raw HTML is text, and nothing is loaded.
// @ts-check
import { html } from "./vendor/lit-html/lit-html.js";
import { codeBlock } from "./code.js";

/** @typedef {string | {t: "em", c: Inline[]} | {t: "strong", c: Inline[]} | {t: "del", c: Inline[]} | {t: "code", s: string} | {t: "a", href: string, host: string, c: Inline[]}} Inline */
/** @typedef {{t: "p", c: Inline[]} | {t: "row", c: Inline[]} | {t: "h", c: Inline[], n: number} | {t: "pre", lang: string, name: string, s: string}
 *   | {t: "ul", start: number, items: Block[][]} | {t: "ol", start: number, items: Block[][]} | {t: "quote", c: Block[]} | {t: "table", head: Inline[][], rows: Inline[][][]} | {t: "hr"}} Block */

const DEPTH_MAX = 6;
const SPECIAL = /[\\`*_~[h]/g;
const MARK = /`+|\*{1,2}|_{1,2}|~{1,2}/y;
const LINK = /\[([^[\]\n]{1,400})\]\((https?:\/\/[^\s()<>]{1,2000})\)/y;
const ADDRESS = /https?:\/\/[^\s<>"'`]{1,2000}/y;
const FENCE = /^ {0,3}(`{3,}|~{3,})(.*)$/;
const ITEM = /^( {0,8})([-*+]|\d{1,9}[.)])( +|$)/;
const HEADING = /^(#{1,6})[ \t]+/;
const RULE = /^ {0,3}(?:(?:- *){3,}|(?:\* *){3,}|(?:_ *){3,})$/;
const isWord = (/** @type {string | undefined} */ char) => char !== undefined && /[\p{L}\p{N}_]/u.test(char);
const isSpace = (/** @type {string | undefined} */ char) => char === undefined || /\s/.test(char);

/** @param {string} text @param {number} [depth] @returns {Inline[]} */
function inlines(text, depth = 0) {
  /** @type {Inline[]} */
  const out = [];
  const absent = new Set(); // Delimiters without a closer from here on: this keeps the time linear.
  let plain = "", at = 0;
  const push = (/** @type {Inline} */ node, /** @type {number} */ end) => {
    if (plain) out.push(plain);
    out.push(node);
    [plain, at] = ["", end];
  };
  const keep = (/** @type {string} */ words, length = words.length) => [plain, at] = [plain + words, at + length];
  while (at < text.length) {
    SPECIAL.lastIndex = at;
    keep(text.slice(at, SPECIAL.exec(text)?.index ?? text.length));
    MARK.lastIndex = at;
    const char = text[at], mark = MARK.exec(text)?.[0];
    if (char === undefined) break;
    if (mark) {
      const from = at + mark.length, opens = char === "`" || (depth < DEPTH_MAX && mark !== "~" && !isSpace(text[from]) && !(char === "_" && isWord(text[at - 1])));
      const end = opens && !absent.has(mark) ? closing(text, from, mark) : -1;
      if (opens && end < 0) absent.add(mark);
      if (end < 0) keep(mark);
      else if (char === "`") push({ t: "code", s: unpadded(text.slice(from, end)) }, end + mark.length);
      else push(/** @type {Inline} */ ({ t: char === "~" ? "del" : mark.length === 2 ? "strong" : "em", c: inlines(text.slice(from, end), depth + 1) }), end + mark.length);
    } else if (char === "\\") keep(text[at + 1] && /[!-/:-@[-`{-~]/.test(text[at + 1]) ? text[at + 1] : char, /[!-/:-@[-`{-~]/.test(text[at + 1] ?? "") ? 2 : 1);
    else {
      const link = char === "h" && isWord(text[at - 1]) ? undefined : linkAt(text, at, depth);
      if (link) push(link.node, link.end);
      else keep(char);
    }
  }
  if (plain) out.push(plain);
  return out;
}

// Not by patterns, which would try each beginning with each end: a long text would hold the page.
/** Code without the blank on each side of it. @param {string} code */
const unpadded = (code) => code[0] === " " && code.endsWith(" ") && /[^ ]/.test(code) ? code.slice(1, -1) : code;

/** An address without the brackets that close what stands before it. @param {string} address */
function unclosed(address) {
  let end = address.length;
  while (address[end - 1] === ")") end -= 1;
  return address.includes("(") ? address : address.slice(0, end);
}

/** Where the closing delimiter stands, or -1. @param {string} text @param {number} from @param {string} mark */
function closing(text, from, mark) {
  const [char] = mark, {length} = mark;
  for (let at = text.indexOf(mark, from), end = at; at >= 0; at = text.indexOf(mark, end)) {
    for (end = at; text[end] === char;) end += 1;
    if (char === "`" && end - at === length) return at;
    const fits = length === 2 || end - at !== 2, closes = at > from && !isSpace(text[at - 1]) && !(char === "_" && isWord(text[end]));
    if (char !== "`" && fits && closes) return end - length;
  }
  return -1;
}

/** @param {string} text @param {number} at @param {number} depth */
function linkAt(text, at, depth) {
  const pattern = text[at] === "[" ? LINK : ADDRESS;
  pattern.lastIndex = at;
  const [all, words, given] = pattern.exec(text) ?? [];
  if (all === undefined) return undefined;
  const bare = unclosed(all.replace(/[.,;:!?*_~\]]{1,9}$/, "")), address = given ?? bare;
  if (!URL.canParse(address)) return undefined;
  const url = new URL(address);
  // The host stands beside each link whose words do not begin with it: words can lie.
  const isPlain = words === undefined && (address.startsWith(`${url.origin}/`) || address === url.origin);
  const c = words === undefined ? [bare] : depth < DEPTH_MAX ? inlines(words.replace(/https?:/g, "$&\u200b"), DEPTH_MAX) : [words];
  return { node: /** @type {Inline} */ ({ t: "a", href: url.href, host: isPlain ? "" : url.host, c }), end: at + (words === undefined ? bare : all).length };
}

/** @param {string} line */
const begins = (line) => FENCE.test(line) || HEADING.test(line) || ITEM.test(line) || line.startsWith(">") || RULE.test(line);
/** @param {string} line */
const cells = (line) => line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());

/** @param {string[]} lines @param {number} [depth] @returns {Block[]} */
function parse(lines, depth = 0) {
  /** @type {Block[]} */
  const out = [];
  for (let at = 0; at < lines.length;) {
    const line = lines[at];
    const fence = FENCE.exec(line), heading = HEADING.exec(line), item = ITEM.exec(line);
    const first = at;
    if (!line.trim()) at += 1;
    else if (fence && !(fence[1][0] === "`" && fence[2].includes("`"))) {
      const isEnd = (/** @type {string} */ text) => text.trim().startsWith(fence[1]) && !text.trim().replaceAll(fence[1][0], "");
      for (at += 1; at < lines.length && !isEnd(lines[at]);) at += 1;
      const [lang = "", name = ""] = fence[2].trim().split(/\s+/);
      out.push({ t: "pre", lang, name, s: lines.slice(first + 1, at).join("\n") });
      at += 1;
    } else if (heading) {
      out.push({ t: "h", n: heading[1].length, c: inlines(line.slice(heading[0].length).trim().replace(/ #{1,6}$/, "")) });
      at += 1;
    } else if (RULE.test(line)) {
      out.push({ t: "hr" });
      at += 1;
    } else if (line.startsWith(">") && depth < DEPTH_MAX) {
      while (at < lines.length && lines[at].startsWith(">")) at += 1;
      out.push({ t: "quote", c: parse(lines.slice(first, at).map((text) => text.replace(/^> ?/, "")), depth + 1) });
    } else if (item && depth < DEPTH_MAX) at = list(lines, at, item, depth, out);
    else if (line.includes("|") && lines[at + 1]?.includes("-") && cells(lines[at + 1]).every((cell) => /^:?-+:?$/.test(cell))) {
      for (at += 2; at < lines.length && lines[at].includes("|");) at += 1;
      const rows = lines.slice(first + 2, at).map((text) => cells(text).map((cell) => inlines(cell)));
      out.push({ t: "table", head: cells(line).map((cell) => inlines(cell)), rows });
    } else if (line.startsWith("    ")) {
      while (lines[at]?.startsWith("    ")) at += 1;
      out.push({ t: "pre", lang: "", name: "", s: lines.slice(first, at).map((text) => text.slice(4)).join("\n") });
    } else {
      for (at += 1; at < lines.length && lines[at].trim() && !begins(lines[at]);) at += 1;
      out.push({ t: "p", c: inlines(lines.slice(first, at).join("\n")) });
    }
  }
  return out;
}

/** @param {string[]} lines @param {number} at @param {RegExpExecArray} first @param {number} depth @param {Block[]} out */
function list(lines, at, first, depth, out) {
  const isOrdered = /\d/.test(first[2]);
  /** @type {Block[][]} */
  const items = [];
  for (let item = /** @type {RegExpExecArray | null} */ (first); item && /\d/.test(item[2]) === isOrdered && item[1].length < first[1].length + 2;) {
    const inside = first[1].length + 2;
    const own = [lines[at].slice(item[0].length)];
    for (at += 1; at < lines.length; at += 1) {
      const isIn = lines[at].trim() === "" || lines[at].search(/\S/) >= inside || (own[own.length - 1].trim() !== "" && !begins(lines[at]));
      if (!isIn) break;
      own.push(lines[at].slice(Math.min(Math.max(lines[at].search(/\S/), 0), item[0].length)));
    }
    items.push(parse(own, depth + 1));
    item = ITEM.exec(lines[at] ?? "");
  }
  out.push({ t: isOrdered ? "ol" : "ul", start: isOrdered ? parseInt(first[2], 10) : 1, items });
  return at;
}

/** @param {Inline[]} nodes @returns {unknown} */
const drawn = (nodes) => nodes.map((node) => {
  if (typeof node === "string") return node;
  if (node.t === "code") return html`<code><bdi>${node.s}</bdi></code>`;
  if (node.t === "em") return html`<em>${drawn(node.c)}</em>`;
  if (node.t === "del") return html`<s>${drawn(node.c)}</s>`;
  if (node.t === "strong") return html`<strong>${drawn(node.c)}</strong>`;
  const host = node.host && html` <span class="host">(<bdi>${node.host}</bdi>)</span>`;
  return html`<a class="out" href=${node.href} target="_blank" rel="noopener noreferrer nofollow">${drawn(node.c)}</a>${host}`;
});

/** @param {Block} block @returns {unknown} */
function draw(block) {
  switch (block.t) {
    case "h": return html`<h4 class="level-${block.n}" dir="auto">${drawn(block.c)}</h4>`;
    case "pre": return codeBlock(block.s, { lang: block.lang, name: block.name });
    case "hr": return html`<hr>`;
    case "quote": return html`<blockquote dir="auto">${block.c.map(draw)}</blockquote>`;
    case "ul": return html`<ul dir="auto">${block.items.map((item) => html`<li>${item.map(draw)}</li>`)}</ul>`;
    case "ol": return html`<ol start=${block.start} dir="auto">${block.items.map((item) => html`<li>${item.map(draw)}</li>`)}</ol>`;
    case "table": return html`<div class="wide" tabindex="0" role="group" aria-label="table"><table>
      <thead><tr>${block.head.map((cell) => html`<th dir="auto">${drawn(cell)}</th>`)}</tr></thead>
      <tbody>${block.rows.map((row) => html`<tr>${row.map((cell) => html`<td dir="auto">${drawn(cell)}</td>`)}</tr>`)}</tbody></table></div>`;
    default: return html`<p dir="auto">${drawn(block.c)}</p>`;
  }
}

/** One line of Markdown. @param {string} text */
export const inline = (text) => drawn(inlines(text));

/** A whole text. @param {string} text */
export const blocks = (text) => parse(text.split("\n")).map(draw);

/** @param {Block[]} found @param {Inline[]} flow @param {string[]} codes */
function join(found, flow, codes) {
  for (const block of found) {
    if (block.t === "pre") codes.push(`${block.lang || block.name || "code"}, ${block.s.split("\n").length} lines`.replace(/\b1 lines$/, "1 line"));
    else if (block.t === "quote") join(block.c, flow, codes);
    else if (block.t === "table") for (const row of [block.head, ...block.rows]) flow.push(...row.flatMap((cell) => [...cell, " · "]));
    else if (block.t === "ul" || block.t === "ol")
      block.items.forEach((item, at) => join([{ t: "row", c: [block.t === "ol" ? `${block.start + at}. ` : "– "] }, ...item], flow, codes));
    else if (block.t !== "hr") flow.push(...block.c, block.t === "row" ? "" : " ");
  }
}

/**
 * A text for two lines of a list: its blocks as one flow, and what its code blocks are.
 * @param {string} text
 * @returns {{flow: unknown, codes: string[], isCut: boolean}}
 */
export function summary(text) {
  /** @type {Inline[]} */
  const flow = [];
  /** @type {string[]} */
  const codes = [];
  join(parse(text.slice(0, 4000).split("\n")), flow, codes);
  return { flow: drawn(flow.slice(0, 60)), codes, isCut: text.length > 4000 || flow.length > 60 };
}

/** @param {Inline} node @returns {string} */
const words = (node) => typeof node === "string" ? node : node.t === "code" ? node.s : node.c.map(words).join("");

/** The first sentence of a text, without marks. @param {string} text @param {number} [least] The fewest characters. */
export function firstLine(text, least = 20) {
  /** @type {Inline[]} */
  const flow = [];
  join(parse(text.slice(0, 600).split("\n")), flow, []);
  const line = flow.map(words).join("").replace(/\s+/g, " ").trim();
  return new RegExp(`^.{${least},90}?[.?!](?= )`).exec(line)?.[0].replace(/\.$/, "") ?? (line.length > 90 ? `${line.slice(0, 89)}…` : line);
}
