// Thread views: the list of the threads, and one thread in two levels.
// @ts-check
/** @import { ApiError, App, Message, Row, View } from "./types.js" */
import { html, nothing } from "./vendor/lit-html/lit-html.js";
import { repeat } from "./vendor/lit-html/directives/repeat.js";
import { tried } from "./api.js";
import { exportButton, speech, toggleButton } from "./conversation.js";
import { icon } from "./icons.js";
import { failure } from "./list_views.js";
import { follow } from "./feed.js";
import { firstLine, summary } from "./markdown.js";
import { lastStates } from "./receipts.js";
import { party } from "./rows.js";
import { path } from "./router.js";
import { clock, counted, dayHeading, dayOf, roughly, stamp } from "./words.js";

/** @typedef {{threadId: string, lsn: number, root?: Message, newest: Message, messages: number, senders: string[]}} Summary */
/** @type {{threads: Summary[], before: number, hasMore: boolean, error: ApiError | null, loaded: boolean, busy: boolean}} */
let list;
let raw = false;
let leave = () => {};

/** @param {App} app @param {boolean} [more] */
async function readThreads(app, more = false) {
  const mine = list;
  if (mine.busy) return;
  mine.busy = true;
  const asked = { limit: 100, project: app.state.project, before: more ? mine.before : undefined };
  const [page, error] = await tried(app.api.get("/api/threads", asked));
  const kept = more ? mine.threads : [];
  const isNew = (/** @type {Summary} */ { threadId }) => !kept.some((other) => other.threadId === threadId);
  if (page) Object.assign(mine, { ...page, threads: [...kept, ...page.threads.filter(isNew)] });
  Object.assign(mine, { error, loaded: true, busy: false });
  app.update();
}

/** @type {View} */
export const threads = {
  title: () => "Threads",
  enter: (app) => {
    list = {threads: [], before: 0, hasMore: false, error: null, loaded: false, busy: false};
    leave = follow(app, () => readThreads(app), ({ status, message }) => !status && Boolean(message?.metadata?.inReplyTo));
    return readThreads(app);
  },
  leave: () => leave(),
  render: (app) => {
    let day = 0;
    const entry = (/** @type {Summary} */ {threadId, root, newest, messages, senders}) => {
      const isNewDay = dayOf(newest.createdAt) !== day, shown = root ?? newest, address = path("t", threadId);
      day = dayOf(newest.createdAt);
      return html`${isNewDay ? html`<li class="day"><span>${dayHeading(newest.createdAt, app.state.now)}</span></li>` : nothing}
        <li class="row" data-row=${threadId} tabindex="-1" @click=${(/** @type {MouseEvent} */ event) => event.target instanceof Element && !event.target.closest("a") && app.go(address)}>
        <a class="row-time" href=${address} aria-label="${clock(newest.createdAt)}, open the thread"><time datetime=${stamp(newest.createdAt)}>${clock(newest.createdAt)}</time></a>
        <div class="row-head"><span class="who"><span class="names">${senders.map((id, at) => html`${at ? ", " : ""}${party(app, id)}`)}</span></span>
          <span class="answers">${icon("reply")}<bdi>${app.nameOf(newest.from)}</bdi>: <bdi>${firstLine(newest.message)}</bdi></span></div>
        <span class="receipt">${counted(messages, "message")}</span><div class="text flow" dir="auto">${summary(shown.message).flow}</div></li>`;
    };
    const empty = html`<div class="empty"><p>No message has an answer yet.</p></div>`;
    return html`<div class="scroll list"><div class="content">${list.error ? failure(list.error) : !list.loaded ? nothing : !list.threads.length ? empty
      : html`<ol class="rows" aria-label="Threads">${repeat(list.threads, ({threadId}) => threadId, entry)}</ol>${list.hasMore
        ? html`<p class="older"><button type="button" class="as-link" @click=${() => readThreads(app, true)}>Older threads</button></p>` : nothing}`}</div></div>`;
  },
  keys: {
    Enter: (app) => {
      const id = document.activeElement?.getAttribute("data-row");
      if (id) app.go(path("t", id));
    },
  },
};

/** @typedef {import('./receipts.js').Receipt} Receipt */
/** @type {{id: string, threadId: string, messages: Message[], hasMore: boolean, receipt: Receipt | null, error: ApiError | null, loaded: boolean}} */
let shown;

/** @param {App} app */
async function readThread(app) {
  const mine = shown;
  const [found, error] = await tried(app.api.get(`/api/messages/${encodeURIComponent(mine.id)}/thread`));
  const [receipt] = found ? await tried(app.api.get(`/api/messages/${encodeURIComponent(found.threadId)}/receipt`)) : [];
  Object.assign(mine, found && { ...found, receipt }, { error, loaded: true });
  app.update();
}

/** Who has not answered the first message. @param {App} app */
function silent(app) {
  const {receipt} = shown, missing = receipt?.recipients.filter(({answeredAt}) => !answeredAt) ?? [];
  if (!missing.length || !shown.messages.some(({id, metadata, audience}) => id === receipt?.id && (audience || metadata?.type === "request"))) return nothing;
  const from = receipt?.createdAt ?? 0;
  return html`<li class="silent">No answer from ${missing.map((step, at) => html`${at ? ", " : ""}<b>${party(app, step.to)}</b> (${step.readAt ? `read ${roughly(step.readAt - from)}`
    : step.deliveredAt ? `shown ${roughly(step.deliveredAt - from)}` : step.state === "refused" ? `refused: ${(step.code ?? "").toLowerCase().replaceAll("_", " ")}`
      : step.state === "expired" ? "expired" : "not shown yet"})`)}</li>`;
}

export const rootOf = () => shown?.messages.find(({id}) => id === shown.threadId);

/** @type {View} */
export const thread = {
  title: () => rootOf() ? firstLine(rootOf()?.message ?? "", 8) : "Thread",
  enter: (app, route) => {
    shown = {id: route.params[0], threadId: "", messages: [], hasMore: false, receipt: null, error: null, loaded: false};
    leave = follow(app, () => readThread(app), ({ id, message: { metadata } = {} }) => metadata?.threadId === shown.threadId
      || shown.messages.some((known) => known.id === id || known.id === metadata?.inReplyTo));
    return readThread(app);
  },
  leave: () => leave(),
  header: (app) => html`<span class="low">${shown.messages.length ? `${counted(shown.messages.length, "message")}, ${clock(shown.messages[0].createdAt)} to ${clock(shown.messages.at(-1)?.createdAt ?? 0)}` : ""}</span>
    <span class="actions">${toggleButton(app, raw, () => { raw = !raw; }, "Raw")}${exportButton(app, { thread: shown.id }, "thread.md")}</span>`,
  render: (app) => {
    const root = rootOf(), byId = new Map(shown.messages.map((message) => [message.id, message]));
    /** @type {Map<string, Map<string, number>>} */
    const answers = new Map();
    // Deeper answers stay in the second level, below the answer to the first message that they go back to.
    /** @type {Map<string, Message[]>} */
    const below = new Map();
    /** @type {Message[]} */
    const first = [];
    for (const message of shown.messages) {
      const parent = message.metadata?.inReplyTo;
      if (parent) answers.set(parent, new Map(answers.get(parent)).set(message.from, message.createdAt));
      let top = message;
      for (let up = byId.get(parent ?? ""); up && up !== root; up = byId.get(up.metadata?.inReplyTo ?? "")) top = up;
      if (message === root) continue;
      if (top === message) first.push(message);
      else below.set(top.id, [...(below.get(top.id) ?? []), message]);
    }
    const said = (/** @type {Message} */ message, /** @type {boolean} */ to) => {
      const counts = message === root && (message.audience?.size ?? 1) > 1 && shown.receipt ? { counts: lastStates(shown.receipt) } : {};
      const row = /** @type {Row} */ ({ lsn: 0, message, ...counts });
      return speech(app, row, {answers: answers.get(message.id), isRaw: raw, to, open: (id) => app.openMessage(id)});
    };
    const levels = html`<li><ol class="level">${repeat(first, ({id}) => id, (message) => html`${said(message, message.to !== root?.from)}${below.has(message.id)
      ? html`<li><ol class="level">${below.get(message.id)?.map((deep) => said(deep, true))}</ol></li>` : nothing}`)}</ol></li>`;
    return html`<div class="scroll list script"><div class="content">${shown.error ? failure(shown.error) : shown.loaded ? html`<ol class="rows" aria-label="Thread">${root ? said(root, false)
      : html`<li class="silent">The first message of this thread was deleted.</li>`}${first.length ? levels : nothing}${silent(app)}${shown.hasMore
      ? html`<li class="silent">The thread has more messages than are shown here. <code>maestro thread ${shown.threadId}</code> shows all.</li>` : nothing}</ol>` : nothing}</div></div>`;
  },
  keys: {r: (app) => rootOf() && app.compose({to: [/** @type {Message} */ (rootOf()).from], replyTo: rootOf()})},
};
