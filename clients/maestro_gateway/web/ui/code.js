// Code: blocks of code and differences, each line in its own element.
// @ts-check
import { html } from "./vendor/lit-html/lit-html.js";
import { icon } from "./icons.js";

const SIGNS = /** @type {Record<string, string>} */ ({ "+": "add", "-": "del", "@": "hunk" });

/** @param {string} text @param {string} lang @param {string} name */
export const isDiff = (text, lang, name) =>
  /^(diff|patch)$/i.test(lang) || /\.(patch|diff)$/i.test(name) || (lang === "" && /^(diff --git|--- [^\n]*\n\+\+\+ |@@ -\d)/.test(text));

/** @param {string} line */
const kind = (line) => /^(\+\+\+|---) /.test(line) ? "hunk" : SIGNS[line[0]] ?? "same";

/**
 * Copies a text, and says so in the button for a moment.
 * @param {Event} event @param {string} text
 */
export async function copy(event, text) {
  const button = /** @type {HTMLElement} */ (event.currentTarget);
  event.stopPropagation();
  const done = await navigator.clipboard?.writeText(text).then(() => true, () => false);
  button.classList.add(done ? "copied" : "not-copied");
  setTimeout(() => button.classList.remove("copied", "not-copied"), 1500);
}

/** @param {string} text @param {string} what The accessible name. */
export const copyButton = (text, what) => html`<button type="button" class="tool copy" title=${what} aria-label=${what}
  @click=${(/** @type {Event} */ event) => copy(event, text)}>${icon("copy")}${icon("check")}</button>`;

/**
 * A block of code; a difference shows its lines in colour, and keeps their signs.
 * @param {string} text
 * @param {{lang?: string, name?: string}} [what]
 */
export function codeBlock(text, { lang = "", name = "" } = {}) {
  const differs = isDiff(text, lang, name);
  const title = name || (differs ? /^\+\+\+ (?:b\/)?(\S+)/m.exec(text)?.[1] : "") || lang || "code";
  const body = differs ? text.replace(/\n$/, "").split("\n").map((line) => html`<span class=${kind(line)}>${line}${"\n"}</span>`) : text;
  return html`<figure class="code" dir="ltr"><figcaption><bdi>${title}</bdi>${copyButton(text, "Copy the code")}</figcaption
    ><pre tabindex="0" role="group" aria-label=${title}><code>${body}</code></pre></figure>`;
}
