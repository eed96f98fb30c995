// Message view: one message with the chain of its receipts, as a page and as the pane beside a list.
// @ts-check
/** @import { ApiError, App, Message, View } from "./types.js" */
/** @import { Receipt } from "./receipts.js" */
import { html, nothing } from "./vendor/lit-html/lit-html.js";
import { tried } from "./api.js";
import { codeBlock, copyButton } from "./code.js";
import { toggleButton, whole } from "./conversation.js";
import { follow } from "./feed.js";
import { files } from "./files.js";
import { icon } from "./icons.js";
import { failure, markRead } from "./list_views.js";
import { firstLine } from "./markdown.js";
import { brief, chain, lastStates, wordOf } from "./receipts.js";
import { addressees, looseRows, messageRow, party, tags } from "./rows.js";
import { SYSTEM } from "./store.js";
import { ago, clock, counted, stamp } from "./words.js";

const OPERATOR = "operator";
/** @typedef {{id: string, message: Message | null, receipt: Receipt | null, thread: Message[], error: ApiError | null, refusal: ApiError | null, asks: boolean, read?: Promise<void>}} Detail */
/** @type {Detail | null} */
let detail = null;
let raw = false, json = false, isFollowed = false;
/** The rows of the answers, which may be opened too. */
const answerList = looseRows();

const path = (/** @type {string} */ id) => `/api/messages/${encodeURIComponent(id)}`;

/** @param {App} app @param {Detail} mine */
async function read(app, mine) {
  const [[found, error], [receipt], [thread]] = await Promise.all(["", "/receipt", "/thread"].map((part) => tried(app.api.get(path(mine.id) + part))));
  Object.assign(mine, found && { message: found }, { error, receipt, thread: thread?.messages ?? [] });
  if (mine.message?.to === OPERATOR && ["pending", "delivered"].includes(mine.message.status)) markRead(app, mine.id);
  app.update();
}

/** The message that is shown; reads it if it is another than before. @param {App} app @param {string} id */
function detailOf(app, id) {
  if (detail?.id === id) return detail;
  const mine = detail = /** @type {Detail} */ ({id, message: null, receipt: null, thread: [], error: null, refusal: null, asks: false});
  json = false;
  // What the person deletes here is not read again.
  if (!isFollowed) follow(app, () => detail && read(app, detail), ({ id: changed, status, message }) => detail !== null
    && !(detail.asks && status === "deleted") && [changed, message?.metadata?.inReplyTo].includes(detail.id));
  isFollowed = true;
  mine.read = read(app, mine);
  return mine;
}

/** A refusal stands there in the words of the broker. @param {App} app @param {Detail} mine @param {Promise<any>} action @param {(made: any) => void} then */
const act = (app, mine, action, then) => action.then(then, (error) => { mine.refusal = error; }).then(app.update);

/** To all that refused it, or for which it expired. The new message is shown. @param {App} app @param {Detail} mine */
const retry = (app, mine) => act(app, mine, app.api.post(`${path(mine.id)}/retry`, {}), ({id}) => app.state.pane ? app.openMessage(id) : app.go(`/ui/m/${id}`));

/** @param {App} app @param {Detail} mine */
function actions(app, mine) {
  const {message, receipt} = mine;
  if (!message) return nothing;
  const failed = receipt?.recipients.filter(({state}) => ["refused", "expired", "failed"].includes(state)).length ?? 0, isOwn = message.to === OPERATOR, mayWrite = app.state.rights !== "view";
  const gone = () => { app.state.pane = null; if (app.state.route.view === "message") app.go("/ui/inbox"); };
  return html`<div class="buttons">${mine.asks ? html`<span>Delete it for good?</span>
    <button type="button" class="button fail" @click=${() => act(app, mine, app.api.del(path(mine.id)), gone)}>Delete</button>
    <button type="button" class="button" @click=${() => { mine.asks = false; app.update(); }}>Keep</button>` : html`
    ${mayWrite && message.from !== SYSTEM ? html`<button type="button" class="button" @click=${() => app.compose({to: [message.from === OPERATOR ? message.to : message.from], replyTo: message})}>${icon("reply")}Reply <kbd>r</kbd></button>` : nothing}
    <a class="button" href="/ui/t/${encodeURIComponent(mine.id)}">${icon("thread")}Thread <kbd>t</kbd></a>
    ${failed && mayWrite ? html`<button type="button" class="button" @click=${() => retry(app, mine)}>${icon("retry")}Send again to ${failed}</button>` : nothing}
    ${isOwn && mayWrite ? html`<button type="button" class="button" @click=${() => { mine.asks = true; app.update(); }}>Delete</button>` : nothing}`}</div>`;
}

/** What the text does not say. @param {App} app @param {Message} message */
const remarks = (app, message) => html`${message.originalTo ? html`<p class="low">It was sent to ${party(app, message.originalTo)}, which had ended.</p>` : nothing}
  ${message.charsRemoved ? html`<p class="low">The post office took out ${counted(message.charsRemoved, "character")} that can't be seen or that steer a terminal.</p>` : nothing}
  ${message.failure ? html`<p class="fail">${message.failure.message}</p>` : nothing}
  ${message.metadata?.data === undefined ? nothing : codeBlock(JSON.stringify(message.metadata.data, null, 2), {name: "data"})}`;

/** @param {App} app @param {Detail} mine */
const body = (app, mine) => mine.message ? html`<div class="text whole">${json ? codeBlock(JSON.stringify(mine.message, null, 2), {name: "JSON"}) : whole(mine.message.message, raw)}</div>
  ${files(app, mine.message, {open: true})}${remarks(app, mine.message)}` : nothing;

/** @param {Detail} mine */
const refusal = (mine) => mine.refusal ? failure(mine.refusal) : nothing;

/** @type {View} */
export const message = {
  title: () => "Message",
  enter: (app, route) => { detail = null; return detailOf(app, route.params[0]).read; },
  leave: () => { detail = null; },
  header: (app) => html`<code class="id"><bdi>${app.state.route.params[0]}</bdi></code>${copyButton(app.state.route.params[0], "Copy the id")}<span class="actions">
    ${toggleButton(app, raw, () => { raw = !raw; }, "Raw")}${toggleButton(app, json, () => { json = !json; }, "JSON")}</span>`,
  render: (app) => {
    const mine = detailOf(app, app.state.route.params[0]), {message: shown, receipt} = mine;
    if (!shown) return html`<div class="scroll reading">${mine.error ? failure(mine.error) : nothing}</div>`;
    const answers = mine.thread.filter(({metadata}) => metadata?.inReplyTo === mine.id);
    answerList.byId = new Map([[mine.id, { lsn: 0, message: shown }]]);
    return html`<div class="scroll reading"><article class="content">
      <p class="about">${party(app, shown.from)}${icon("arrow")}<span class="hidden">to</span>${addressees(app, shown)}<span class="dot">·</span><time datetime=${stamp(shown.createdAt)}>${clock(shown.createdAt, {seconds: true})}, ${ago(app.state.now - shown.createdAt)}</time>
        <span class="tags">${tags(shown, true)}${shown.metadata?.taskId ? html`<span class="tag">task <code><bdi>${shown.metadata.taskId}</bdi></code></span>` : nothing}</span>
        ${mine.thread.length > 1 ? html`<span class="dot">·</span><a href="/ui/t/${encodeURIComponent(mine.id)}">thread of ${mine.thread.length}</a>` : nothing}</p>
      ${body(app, mine)}
      ${receipt ? html`<section><h2>Receipts <span class="low">accepted: on disk; offered: handed to a hook; delivered: shown to the agent; read: the agent said so</span></h2>
        ${chain(app, receipt, app.state.rights === "view" ? null : () => retry(app, mine))}</section>` : nothing}
      ${answers.length ? html`<section><h2>Answers <span class="low">${answers.length}</span></h2><ol class="rows">${answers.map((answer) =>
        messageRow(app, answerList, {lsn: 0, message: answer}, {}))}</ol></section>` : nothing}</article></div>
      <div class="foot">${refusal(mine)}${actions(app, mine)}</div>`;
  },
  keys: {
    r: (app) => detail?.message && app.compose({to: [detail.message.from], replyTo: detail.message}),
    t: (app) => detail && app.go(`/ui/t/${encodeURIComponent(detail.id)}`),
  },
};

/** The pane beside a list. @param {App} app @param {string} id */
export function pane(app, id) {
  const mine = detailOf(app, id), {message: shown, receipt, thread} = mine;
  const close = () => { app.state.pane = null; app.update(); };
  const others = thread.filter((other) => other.id !== id), {taskId, type, priority} = shown?.metadata ?? {};
  return html`<header class="head pane-head"><h2 class="about">${shown ? html`${party(app, shown.from)}${icon("arrow")}<span class="hidden">to</span>${addressees(app, shown)}` : "Message"}</h2>
      <button type="button" class="tool" aria-label="Close" @click=${close}>${icon("x")}</button></header>
    <div class="scroll pane-body">${mine.error ? failure(mine.error) : nothing}${shown ? html`${body(app, mine)}
      <dl class="pairs"><dt>Sent</dt><dd><time datetime=${stamp(shown.createdAt)}>${clock(shown.createdAt, {seconds: true})}, ${ago(app.state.now - shown.createdAt)}</time></dd>
        ${type || priority ? html`<dt>Asks</dt><dd class="tags">${tags(shown, true)}</dd>` : nothing}
        ${taskId ? html`<dt>Task</dt><dd><code><bdi>${taskId}</bdi></code></dd>` : nothing}
        <dt>Id</dt><dd><a href="/ui/m/${encodeURIComponent(id)}"><code><bdi>${id}</bdi></code></a>${copyButton(id, "Copy the id")}</dd>
        <dt>Show</dt><dd>${toggleButton(app, raw, () => { raw = !raw; }, "Raw")} ${toggleButton(app, json, () => { json = !json; }, "JSON")}</dd></dl>
      ${receipt ? html`<section><h3>${receipt.recipients.length > 1 ? "Receipts" : "Receipt"} <span class="low">${wordOf(lastStates(receipt))}</span></h3>${brief(app, receipt)}</section>` : nothing}
      ${others.length ? html`<section><h3>Thread <span class="low">${counted(thread.length, "message")}</span></h3><ul class="brief">${others.slice(0, 12).map((other) => html`<li>
        <bdi class="who">${app.nameOf(other.from)}</bdi><a class="what" dir="auto" href="/ui/m/${encodeURIComponent(other.id)}">${firstLine(other.message)}</a><span class="when">${clock(other.createdAt)}</span></li>`)}</ul></section>` : nothing}` : nothing}</div>
    <footer class="foot">${refusal(mine)}${actions(app, mine)}</footer>`;
}
