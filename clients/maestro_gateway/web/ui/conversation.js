// Conversation: the mail of two sessions, set like a script: names in a gutter, the text in the measure, receipts as
// margin notes.
// @ts-check
/** @import { App, Row, View } from "./types.js" */
import { html, nothing } from "./vendor/lit-html/lit-html.js";
import { address } from "./api.js";
import { guard } from "./vendor/lit-html/directives/guard.js";
import { download, files, filesOpened } from "./files.js";
import { command } from "./front_pages.js";
import { LIST, begin, currentFeed, listOf } from "./list_views.js";
import { blocks } from "./markdown.js";
import { receipt } from "./receipts.js";
import { idOf } from "./roster.js";
import { addressees, isPlainClick, isToMany, party, tags } from "./rows.js";
import { stateWords } from "./sidebar.js";
import { path } from "./router.js";
import { clock, stamp } from "./words.js";

const CLOSE_MS = 5 * 60_000;
let raw = false;
/** @type {import('./feed.js').Feed} */
let feed;

/** @param {string} text @param {boolean} isRaw */
export const whole = (text, isRaw) => isRaw ? html`<pre class="raw" dir="auto" tabindex="0">${text}</pre>` : blocks(text);

/** @param {App} app @param {boolean} isOn @param {() => void} flip @param {string} name */
export const toggleButton = (app, isOn, flip, name) => html`<button type="button" class="as-link" aria-pressed=${isOn} @click=${() => (flip(), app.update())}>${name}</button>`;

/** The same as a document. @param {App} app @param {import("./types.js").Query} what @param {string} name */
export const exportButton = (app, what, name) => html`<button type="button" class="as-link" @click=${() => download(app, address("/api/export", what), name)}>Export</button>`;

/**
 * One speech.
 * @param {App} app
 * @param {Row} row
 * @param {{previous?: Row, answers?: Map<string, number>, isRaw: boolean, to?: boolean, open: (id: string) => void}} how `to`: the receiver stands in the margin.
 */
export function speech(app, row, {previous, answers, isRaw, to = false, open}) {
  const {message} = row, isSelected = app.state.pane === message.id;
  const goesOn = previous?.message.from === message.from && message.createdAt - previous.message.createdAt < CLOSE_MS;
  const page = path("m", message.id);
  const pictures = (/** @type {MouseEvent} */ event) => !event.ctrlKey && !event.metaKey && (event.preventDefault(), open(message.id));
  return html`<li class="speech${message.metadata?.priority === "high" ? " urgent" : ""}${isSelected ? " selected" : ""}${goesOn ? " goes-on" : ""}${row.isNew ? " fresh" : ""}" data-row=${message.id} tabindex="-1"
    @click=${(/** @type {MouseEvent} */ event) => isPlainClick(event) && open(message.id)}>
    <div class="gutter">${goesOn ? html`<span class="hidden">${app.nameOf(message.from)}</span>` : party(app, message.from)}
      <a class="row-time" tabindex="-1" href=${page} aria-label="${clock(message.createdAt)}, open" @click=${pictures}><time datetime=${stamp(message.createdAt)}>${clock(message.createdAt)}</time></a></div>
    <div class="said"><div class="text whole">${whole(message.message, isRaw)}</div>${files(app, message, {open: true})}</div>
    <div class="notes">${receipt(app, row, answers, {delays: true})}<span class="tags">${tags(message)}${to || isToMany(message)
      ? html`<span class="tag to">to ${addressees(app, message)}</span>` : nothing}</span></div></li>`;
}

const pair = (/** @type {App} */ app) => app.state.route.params.map((name) => idOf(app, name));

/** @type {View} */
export const conversation = {
  ...LIST,
  title: (app) => pair(app).map((id) => app.nameOf(id)).join(" ⇄ "),
  enter: (app) => {
    const [one, other] = pair(app);
    const read = begin(app, {session: one, with: other, project: undefined}, ({from, to}) => (from === one && to === other) || (from === other && to === one));
    feed = currentFeed();
    return read;
  },
  header: (app) => html`<span class="low states">${pair(app).filter((id) => id !== "operator").map((id, at) => {
    const entry = app.state.sessions.get(id), unread = entry?.presence.unread ?? 0;
    return html`${at ? " · " : ""}${app.nameOf(id)} ${entry ? stateWords(entry, app.state.now) : ""}${unread ? `, ${unread} unseen` : ""}`;
  })}</span><span class="actions">${toggleButton(app, raw, () => { raw = !raw; }, "Raw")}${exportButton(app, { session: pair(app)[0], with: pair(app)[1] }, "conversation.md")}</span>`,
  render: (app) => {
    const [one, other] = pair(app);
    return listOf(app, feed, {
      name: `Mail of ${app.nameOf(one)} and ${app.nameOf(other)}`,
      empty: html`<p>${app.nameOf(one)} and ${app.nameOf(other)} have not written to each other.</p>${command(app, `maestro send --to ${app.nameOf(other)} --message "Hello"`)}`,
      draw: (row, previous) => {
        const answers = feed.answers.get(row.message.id);
        return guard([row, previous?.message.from, answers?.size, raw, app.state.pane === row.message.id, app.state.now, app.state.sessions.size, filesOpened()],
          () => speech(app, row, {previous, answers, isRaw: raw, open: (id) => app.openMessage(id)}));
      },
    });
  },
};
