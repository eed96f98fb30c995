// Files: what is attached to a message: name, size, download; small patches and pictures in place.
// @ts-check
/** @import { App, Attachment, Message } from "./types.js" */
import { html, nothing } from "./vendor/lit-html/lit-html.js";
import { codeBlock, isDiff } from "./code.js";
import { icon } from "./icons.js";
import { bytes } from "./words.js";

const PATCH_BYTES_MAX = 32 << 10, KEPT_MS = 10_000;
/** The patches that were opened: address → text. @type {Map<string, string>} */
const opened = new Map();
let changes = 0;
/** Changes when a patch is opened or closed. */
export const filesOpened = () => changes;

/** @param {Message} message @param {Attachment} file */
const addressOf = (message, file) => `/api/messages/${encodeURIComponent(message.id)}/attachments/${encodeURIComponent(file.name)}`;

/** Fetches a document with the rights of this page, and hands it to the person. @param {App} app @param {string} address @param {string} name */
export async function download(app, address, name) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(await app.api.blob(address)), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), KEPT_MS);
}

/** @param {App} app @param {string} address */
async function toggle(app, address) {
  if (!opened.delete(address)) {
    opened.set(address, await app.api.blob(address).then((blob) => blob.text(), (/** @type {Error} */ error) => error.message));
    if (opened.size > 50) opened.delete(opened.keys().next().value ?? "");
  }
  changes += 1;
  app.update();
}

/**
 * The files of a message.
 * @param {App} app
 * @param {Message} message
 * @param {{open?: boolean}} [how] `open`: patches may be opened here, and pictures are shown.
 */
export function files(app, message, {open = false} = {}) {
  if (!message.attachments?.length) return nothing;
  return html`<ul class="files">${message.attachments.map((file) => {
    const address = addressOf(message, file), text = opened.get(address);
    const isPatch = open && isDiff("", "", file.name) && file.size <= PATCH_BYTES_MAX;
    const isPicture = open && !app.state.access.login && /\.(png|jpe?g|gif|webp)$/i.test(file.name);
    return html`<li>${icon("clip")}<a href=${address} download=${file.name} @click=${(/** @type {Event} */ event) => {
        // With a login a plain link would be refused.
        if (!app.state.access.login) return;
        event.preventDefault();
        void download(app, address, file.name);
      }}><bdi>${file.name}</bdi></a>
      <span class="low">${bytes(file.size)}</span>${isPatch ? html`<button type="button" class="as-link" aria-expanded=${text !== undefined} @click=${() => toggle(app, address)}>${text === undefined ? "open" : "close"}</button>` : nothing}
      ${text === undefined ? nothing : html`<div class="file-view">${codeBlock(text, { name: file.name })}</div>`}
      ${isPicture ? html`<div class="file-view"><img src=${`${address}?inline=1`} alt=${file.name} loading="lazy" @error=${(/** @type {Event} */ event) => /** @type {Element} */ (event.currentTarget).classList.add("hidden")}></div>` : nothing}</li>`;
  })}</ul>`;
}
