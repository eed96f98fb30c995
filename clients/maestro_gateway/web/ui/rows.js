// Rows: a message as a row of a list, and a change of a state as one quiet line.
// @ts-check
/** @import { App, Message, Row } from "./types.js" */
/** @import { Feed, Line } from "./feed.js" */
import { html, nothing } from "./vendor/lit-html/lit-html.js";
import { guard } from "./vendor/lit-html/directives/guard.js";
import { files, filesOpened } from "./files.js";
import { icon } from "./icons.js";
import { blocks, firstLine, inline, summary } from "./markdown.js";
import { receipt } from "./receipts.js";
import { wanted } from "./roster.js";
import { stateWords } from "./sidebar.js";
import { path } from "./router.js";
import { SYSTEM } from "./store.js";
import { clock, stamp } from "./words.js";

/** What a text needs for two lines, made once. @type {WeakMap<Message, {flow: unknown, codes: string[], isCut: boolean}>} */
const flows = new WeakMap();
const flowOf = (/** @type {Message} */ message) => flows.get(message) ?? (flows.set(message, summary(message.message)), /** @type {any} */ (flows.get(message)));

/** @param {App} app @param {string} id */
export const party = (app, id) => html`<a class="name${id === "operator" ? " you" : ""}" tabindex="-1" href=${id === "operator" ? "/ui/inbox" : id.startsWith("@")
  ? `/ui/g/${encodeURIComponent(id.slice(1))}` : id === SYSTEM ? `/ui/search?q=from:${SYSTEM}` : path("s", id)}><bdi>${app.nameOf(id)}</bdi></a>`;

/** Whether several may have got it. @param {Message} message */
export const isToMany = ({audience}) => audience !== undefined && (audience.size > 1 || audience.to[0].startsWith("@"));

/** @param {App} app @param {Message} message */
export const addressees = (app, message) => !isToMany(message) ? party(app, message.to)
  : html`<span class="names">${message.audience?.to.map((to, at) => html`${at ? ", " : ""}${party(app, to)}`)}</span><span class="low">${message.audience?.size}</span>`;

/** What a message asks for. @param {Message} message @param {boolean} [whole] */
export function tags(message, whole = false) {
  const {type, priority, requiresAck, requiresResponse} = message.metadata ?? {};
  const words = [type === "notification" || type === "response" ? "" : type, priority === "low" ? "low priority" : "", requiresAck ? (whole ? "acknowledgement asked" : "ack") : "",
    requiresResponse && type !== "request" ? (whole ? "answer asked" : "answer") : ""].filter(Boolean);
  return html`${priority === "high" ? html`<span class="urgent-word">${icon("bang")}urgent</span>` : nothing}${whole
    ? words.length ? html`<span class="tag">${words.join(", ")}</span>` : nothing : words.map((word) => html`<span class="tag">${word}</span>`)}`;
}

/** The messages of a list that `messageRow` has to know. @typedef {Pick<Feed, "answers" | "byId" | "opened">} Rows */
/** @returns {Rows} */
export const looseRows = () => ({ answers: new Map(), byId: new Map(), opened: new Set() });

/** Shows the whole text in place. @param {App} app @param {Rows} rows @param {string} id */
export function toggle(app, { opened }, id) {
  if (!opened.delete(id)) opened.add(id);
  app.update();
}

/** @param {MouseEvent} event */
export const isPlainClick = (event) => !(event.target instanceof Element && event.target.closest("a, button, pre, figure, input, summary"))
  && String(getSelection()) === "" && !event.defaultPrevented;

/**
 * @param {App} app
 * @param {Rows} feed
 * @param {Row} row
 * @param {{repeats?: boolean, own?: boolean, time?: string, found?: () => unknown}} [how] `repeats`: the row before it is
 *   of the same minute. `found`: what stands in place of the beginning.
 */
export function messageRow(app, feed, row, {repeats = false, own = false, time = "", found} = {}) {
  const {message} = row, answers = feed.answers.get(message.id), isOpen = feed.opened.has(message.id);
  const isSelected = app.state.pane === message.id, parent = message.metadata?.inReplyTo;
  const answered = parent ? feed.byId.get(parent)?.message : undefined;
  return guard([row, answers?.size, isOpen, isSelected, repeats, own, answered, app.state.now, app.state.sessions.size, filesOpened()], () => {
    const {flow, codes, isCut} = flowOf(message), urgent = message.metadata?.priority === "high";
    return html`<li class="row${urgent ? " urgent" : ""}${isSelected ? " selected" : ""}${row.isNew ? " fresh" : ""}" data-row=${message.id} tabindex="-1" aria-current=${isSelected ? "true" : nothing}
      @click=${(/** @type {MouseEvent} */ event) => isPlainClick(event) && app.openMessage(message.id)}>
      <a class="row-time${repeats ? " repeats" : ""}" href=${path("m", message.id)} aria-label="${clock(message.createdAt)}, open"
        @click=${(/** @type {MouseEvent} */ event) => !event.ctrlKey && !event.metaKey && !event.shiftKey && (event.preventDefault(), app.openMessage(message.id))}
        ><time datetime=${stamp(message.createdAt)}>${time || clock(message.createdAt)}</time></a>
      <div class="row-head"><span class="who">${party(app, message.from)}${icon("arrow")}<span class="hidden">to</span>${addressees(app, message)}</span>
        <span class="tags">${tags(message)}</span>${answered ? html`<a class="answers" tabindex="-1" href=${path("t", message.id)}>${icon("reply")}<span class="hidden">answers</span><bdi>${firstLine(answered.message)}</bdi></a>` : nothing}</div>
      ${receipt(app, row, answers, {own, delays: own})}
      ${isOpen ? html`<div class="text whole">${blocks(message.message)}</div>` : html`<div class="text flow" dir="auto">${found?.() ?? flow}</div>`}
      ${codes.length || isCut || isOpen ? html`<div class="more"><button type="button" class="as-link" tabindex="-1" aria-expanded=${isOpen} @click=${() => toggle(app, feed, message.id)}>${icon(isOpen ? "chevron-down" : "chevron-right")}${isOpen ? "less" : codes.join(" · ") || "all of it"}</button></div>` : nothing}
      ${files(app, message, {open: isOpen})}</li>`;
  });
}

const SAYS = /** @type {Record<string, string>} */ ({gone: "is gone: its process no longer exists", ended: "ended", started: "started"});

/** @param {string} detail What a session waits for, as its hook said it. */
function waitWords(detail) {
  const {kind, detail: what} = wanted(detail), [tool, rest = ""] = what.split(/:[ _]?(.*)/s);
  if (kind === "question") return what ? html`<bdi>${inline(what)}</bdi>` : "a question";
  return html`permission${tool ? html` for <bdi>${tool}</bdi>` : nothing}${rest ? html`, <code><bdi>${rest}</bdi></code>` : nothing}`;
}

/** @param {App} app @param {Line} line @param {boolean} repeats */
export const stateLine = (app, line, repeats) => html`<li class="state-line ${line.kind}"><time class="row-time${repeats ? " repeats" : ""}" datetime=${stamp(line.at)}>${clock(line.at)}</time>
  ${icon(line.kind === "started" ? "working" : line.kind)}<span class="what">${party(app, line.id)} ${line.kind === "waiting" ? html`waits for you: ${waitWords(line.detail)}` : SAYS[line.kind]}</span></li>`;

/** The icon and the words of what a session does: `working 3m`. @param {App} app @param {string} id */
export function stateOf(app, id) {
  const entry = app.state.sessions.get(id);
  return entry ? html`<span class="state state-${entry.shown.state}">${icon(entry.shown.state)}${stateWords(entry, app.state.now)}</span>` : nothing;
}
