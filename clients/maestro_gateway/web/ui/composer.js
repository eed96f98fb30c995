// Composer: where a message is written. Who gets it is asked of the post office before it is sent; a draft is kept for each
// address of the page as long as the tab lives.
// @ts-check
/** @import {App, Draft, Message} from './types.js' */
import {html, nothing} from './vendor/lit-html/lit-html.js';
import {live} from './vendor/lit-html/directives/live.js';
import {tried} from './api.js';
import {icon} from './icons.js';
import {firstLine} from './markdown.js';
import {candidates, picker, tokens} from './addresses.js';
import {rootOf as threadRoot} from './thread_views.js';
import {addFiles, fileList} from './uploads.js';
import {reachPanel, whenOf} from './reach.js';
import {refusalWords} from './words.js';

/**
 * @typedef {{path: string, entry: string, at: number, listed: boolean, files: import('./uploads.js').Upload[], preview: any,
 *   asked: string, error: any, refusal: any, sending: boolean, sure: boolean, id: string, sent: string}} Extra
 * @typedef {Draft & Extra} Work
 */

const STORE = 'maestro.drafts';
const LARGE = 12;
const SOON_MS = 150;
const TYPES = {'': 'message', request: 'request', command: 'command', notification: 'notice', response: 'answer'};
const PRIORITIES = {high: 'urgent', '': 'normal priority', low: 'low priority'};
const KEY = /Mac|iPhone|iPad/.test(navigator.platform) ? '⌘' : 'Ctrl';

/** @type {Map<string, Work>} */
const drafts = new Map();
/** What is known beside the drafts: the words after a send, and what the collapsed line says of its receiver. */
const line = {path: '', said: '', failed: false, asked: '', when: '', timer: 0, listens: false};

/** @param {string} path @param {Partial<Work>} kept @returns {Work} */
const fresh = (path, kept = {}) => ({
  path, to: [], text: '', type: '', priority: '', requiresAck: false, replyTo: null, attachments: [], entry: '', at: 0,
  listed: false, files: [], preview: null, asked: '', error: null, refusal: null, sending: false, sure: false, id: '', sent: '', ...kept,
});
for (const [key, kept] of JSON.parse(sessionStorage.getItem(STORE) ?? '[]')) drafts.set(key, fresh(kept.path, kept));

/** Keep the drafts for a reload. A file that is whole is kept too: the post office has it. */
function keep() {
  const kept = [...drafts].filter(([, work]) => work.text || work.attachments.length)
    .map(([key, {path, to, text, type, priority, requiresAck, replyTo, attachments}]) => [key, {path, to, text, type, priority, requiresAck, replyTo, attachments}]);
  sessionStorage.setItem(STORE, JSON.stringify(kept));
}

/** @param {string} id */
export const focusSoon = (id) => requestAnimationFrame(() => requestAnimationFrame(() => document.getElementById(id)?.focus()));

/** The addresses that an answer goes to. @param {Message} message */
const answered = (message) => (message.from !== 'operator' ? [message.from] : message.audience?.to ?? [message.to]);

/** The newest draft of a page with something in it. @param {string} path */
const newest = (path) => [...drafts.values()].filter((work) => work.path === path && (work.text || work.attachments.length)).pop();

/** Whom a page addresses by itself: its session, its group, its two sessions. @param {App} app @returns {string[]} */
function own(app) {
  const {view, params} = app.state.route;
  if (view === 'group') return [`@${params[0]}`];
  return view === 'thread' && rootOf(app) ? answered(/** @type {Message} */ (rootOf(app))) : ['session', 'conversation'].includes(view) ? params.filter((id) => id !== 'operator') : [];
}

/** The first message of the thread that is shown. @param {App} app */
const rootOf = ({state: {route}}) => (route.view === 'thread' ? threadRoot() : undefined) ?? null;

/** The work that a request to write starts, or goes on with. @param {App} app @param {Draft} start @returns {Work} */
function adopt(app, start) {
  const {path} = app.state.route;
  const replyTo = start.replyTo ?? (start.to.length ? null : rootOf(app));
  const to = start.to.length ? start.to : replyTo ? answered(replyTo) : own(app);
  const key = start.to.length || start.replyTo ? `${path} ${replyTo?.id ?? to.join(' ')}` : path;
  const found = key === path ? newest(path) ?? drafts.get(path) : drafts.get(key);
  const type = replyTo?.metadata?.type === 'request' ? 'response' : '';
  const work = found ?? fresh(path, {to: [...to], replyTo, type});
  if (!found) drafts.set(key, work);
  line.said = '';
  refresh(app, work, 0);
  focusSoon(work.to.length ? 'compose-text' : 'compose-to');
  return work;
}

/** @param {Work} work */
function metadata(work) {
  const {type, priority, requiresAck, replyTo} = work;
  return {...(type && {type}), ...(priority && {priority}), ...(requiresAck && {requiresAck}), ...(replyTo && {inReplyTo: replyTo.id})};
}

/**
 * Asks who would get the message, a moment after the last change.
 * @param {App} app @param {Work} work @param {number} [wait]
 */
function refresh(app, work, wait = SOON_MS) {
  clearTimeout(line.timer);
  keep();
  app.update();
  if (!work.to.length) return void Object.assign(work, {preview: null, error: null, asked: ''});
  line.timer = window.setTimeout(async () => {
    const body = {to: work.to, metadata: metadata(work)};
    const asked = (work.asked = JSON.stringify(body));
    const [preview, error] = await tried(app.api.post('/api/messages/preview', body));
    if (asked !== work.asked) return;
    Object.assign(work, {preview, error, sure: work.sure && preview?.accepted === work.preview?.accepted});
    app.update();
  }, wait);
}

/** @param {App} app @param {Work} work @param {Partial<Work>} fields */
export const change = (app, work, fields) => refresh(app, Object.assign(work, {sure: false}, fields));

/** Why the message can't be sent now, or ''. @param {App} app @param {Work} work */
function hindrance(app, work) {
  if (app.state.link.state === 'lost') return 'Writing waits until the post office answers. What you type is kept here.';
  return work.files.some((file) => !file.sha256 && !file.error) ? 'A file is still on its way.' : '';
}

/** @param {App} app @param {Work} work */
async function send(app, work) {
  if (work.entry.trim()) pick(app, work, candidates(app, work)[work.at]?.address ?? work.entry.trim());
  if (hindrance(app, work) || work.sending || !work.to.length || !(work.text.trim() || work.attachments.length)) return;
  if ((work.preview?.accepted ?? 0) > LARGE && !work.sure) return void (work.sure = true, app.update());
  const body = {
    to: work.to, message: work.text, metadata: metadata(work),
    ...(work.attachments.length && {attachments: work.attachments}),
    ...((work.preview?.confirm || work.refusal?.code === 'CONFIRM_FANOUT') && {confirm: true}),
  };
  // The same message has the same id: a send that is repeated after a broken connection is made once.
  if (JSON.stringify(body) !== work.sent) Object.assign(work, {sent: JSON.stringify(body), id: `msg_${Date.now()}_${crypto.getRandomValues(new Uint32Array(2)).join('')}`});
  Object.assign(work, {sending: true, refusal: null, sure: false});
  app.update();
  const [result, refusal] = await tried(app.api.post('/api/messages', {...body, id: work.id}));
  Object.assign(work, {sending: false, refusal});
  if (!refusal) {
    for (const [key, each] of drafts) if (each === work) drafts.delete(key);
    const refused = (result.recipients ?? []).filter((/** @type {any} */ each) => each.error);
    const names = refused.map((/** @type {any} */ each) => `${app.nameOf(each.to)}: ${each.error.message}`).join('; ');
    const count = result.accepted ?? 1;
    Object.assign(line, {path: work.path, failed: refused.length > 0, said: refused.length ? `Sent to ${count} of ${count + refused.length}. Not to ${names}`
      : `Sent to ${count === 1 ? app.nameOf(result.to ?? result.recipients?.[0]?.to ?? work.to[0]) : count}.`});
    app.state.notice = line.said;
    if (app.state.compose === work) close(app);
    keep();
  }
  app.update();
}

/** @param {App} app */
function close(app) {
  app.state.compose = null;
  app.update();
  document.getElementById('main')?.focus();
}

/** @param {App} app @param {Work} work @param {string} address */
export function pick(app, work, address) {
  if (address && !work.to.includes(address)) work.to = [...work.to, address];
  // At once: the next letter may come before the next frame.
  const field = /** @type {HTMLInputElement|null} */ (document.getElementById('compose-to'));
  if (field) field.value = '';
  change(app, work, {entry: '', at: 0, listed: false});
}

/** What the collapsed line says when its one receiver sees mail. @param {App} app @param {string[]} to */
function whenLine(app, to) {
  const presence = to.length === 1 ? app.state.sessions.get(to[0])?.presence : null;
  if (!presence) return '';
  const asked = `${to[0]} ${presence.state} ${presence.since}`;
  if (asked !== line.asked) {
    Object.assign(line, {asked, when: ''});
    app.api.post('/api/messages/preview', {to, metadata: {}}).then((found) => {
      if (asked !== line.asked) return;
      const [one] = found.recipients;
      line.when = one.error ? one.error.message : `reaches it ${whenOf(app, one)}`;
      app.update();
    }, () => {});
  }
  return line.when;
}

/** @param {App} app */
function collapsed(app) {
  const {path, view} = app.state.route;
  const draft = newest(path);
  const to = draft?.to ?? own(app);
  const names = to.map((id) => app.nameOf(id)).join(' and ');
  const away = app.state.link.state === 'lost';
  const words = away ? hindrance(app, fresh(''))
    : draft ? `Draft: ${draft.text || `${draft.attachments.length} files`}`
      : line.said && line.path === path ? line.said
        : view === 'conversation' ? 'as you, the operator' : view === 'thread' && to.length ? 'who opened the thread; the others are not sent a copy' : to.length ? whenLine(app, to) : 'a session, @workers, @all';
  return html`<button type="button" class="composer line" @click=${() => app.compose()}>${icon(away ? 'away' : 'write')}
    ${away || (!draft && !to.length && words === line.said) ? nothing : html`<span class="to">${draft?.replyTo || rootOf(app) ? 'Reply to:' : 'To:'}${names ? html` <bdi>${names}</bdi>` : nothing}</span>`}
    <span class="cut ${line.failed && words === line.said ? 'fail' : 'quiet'}">${words}</span>${app.state.keysOn ? html`<kbd class="key" aria-hidden="true">c</kbd>` : nothing}</button>`;
}

/**
 * @param {App} app @param {Work} work @param {string} label @param {'type'|'priority'} field @param {Record<string, string>} words
 */
const choice = (app, work, label, field, words) => html`<label class="choice"><span class="hidden">${label}</span>
  <select .value=${live(work[field])} @change=${(/** @type {any} */ event) => change(app, work, {[field]: event.target.value})}>${Object.entries(words).map(([value, word]) => html`<option value=${value} ?selected=${value === work[field]}>${word}</option>`)}</select>${icon('chevron-down')}</label>`;

/** @param {App} app @param {Work} work */
function sendWords(app, work) {
  const taken = work.preview?.recipients.filter((/** @type {any} */ each) => !each.error) ?? [];
  if (work.sending) return 'Sending';
  if (work.sure) return `Yes, send to ${taken.length}`;
  return taken.length === 1 ? html`Send to <bdi>${taken[0].name ?? app.nameOf(taken[0].to)}</bdi>` : taken.length ? `Send to ${taken.length}` : 'Send';
}

/** @param {App} app @param {Work} work */
function open(app, work) {
  const hindered = hindrance(app, work);
  const {refusal} = work;
  /** @param {KeyboardEvent} event */
  const key = (event) => {
    const sends = event.key === 'Enter' && (event.ctrlKey || event.metaKey);
    if (!sends && (event.key !== 'Escape' || event.defaultPrevented)) return;
    event.preventDefault();
    event.stopPropagation();
    if (sends) send(app, work);
    else close(app);
  };
  /** @param {FileList|null|undefined} given @param {Event} event */
  const files = (given, event) => {
    if (!given?.length) return;
    event.preventDefault();
    addFiles(app, work, [...given], keep);
  };
  return html`<form class="composer open" aria-label="Write a message" @keydown=${key} @submit=${(/** @type {Event} */ event) => event.preventDefault()}
      @dragover=${(/** @type {Event} */ event) => event.preventDefault()} @drop=${(/** @type {DragEvent} */ event) => files(event.dataTransfer?.files, event)}>
    <div class="writing">
      <div class="address"><label class="quiet" for="compose-to">To</label>${tokens(app, work)}${picker(app, work)}
        <span class="quiet from">from operator (you)</span><button type="button" class="shut" tabindex="-1" aria-label="Close; the draft is kept" @click=${() => close(app)}>${icon('x')}</button></div>
      ${work.replyTo ? html`<p class="answers quiet">${icon('reply')}<bdi class="cut" dir="auto">${firstLine(work.replyTo.message)}</bdi>
        <button type="button" class="link" @click=${() => change(app, work, {replyTo: null})}>not an answer</button></p>` : nothing}
      <textarea id="compose-text" aria-label="Text" dir="auto" .value=${live(work.text)} @input=${(/** @type {any} */ event) => {
        work.text = event.target.value;
        keep();
        app.update();
      }} @paste=${(/** @type {ClipboardEvent} */ event) => files(event.clipboardData?.files, event)}></textarea>
      ${fileList(app, work, keep)}
      <div role="alert">${refusal ? html`<p class="refusal">${icon('refused')}<span>${refusalWords(refusal)}</span></p>` : nothing}</div>
      ${work.sure ? html`<p class="sure">${icon('warn')}<span>This goes to ${work.preview.accepted} sessions at once. Press again to send it.</span></p>` : nothing}
      ${hindered ? html`<p class="quiet">${hindered}</p>` : nothing}
      <div class="actions">${choice(app, work, 'Type', 'type', TYPES)}${choice(app, work, 'Priority', 'priority', PRIORITIES)}
        <label class="check"><input type="checkbox" class="hidden" .checked=${live(work.requiresAck)} @change=${(/** @type {any} */ event) => change(app, work, {requiresAck: event.target.checked})}>${icon(work.requiresAck ? 'checkbox-on' : 'checkbox')}ask for acknowledgement</label>
        <label class="check">${icon('clip')}<input type="file" class="hidden" multiple aria-label="Attach files" @change=${(/** @type {any} */ event) => {
          files(event.target.files, event);
          event.target.value = '';
        }}><span aria-hidden="true">Attach</span></label>
        <button type="button" class="send" ?disabled=${Boolean(hindered) || work.sending || !work.to.length} @click=${() => send(app, work)}>${sendWords(app, work)}<kbd aria-hidden="true">${KEY} ↵</kbd></button></div>
    </div>${reachPanel(app, work)}</form>`;
}

/** @param {App} app */
export function composer(app) {
  if (!line.listens) {
    line.listens = true;
    const again = () => app.state.compose && refresh(app, /** @type {Work} */ (app.state.compose));
    for (const name of /** @type {const} */ (['presence', 'session', 'group', 'link'])) app.on(name, again);
  }
  if (app.state.rights === 'view') return nothing;
  let work = /** @type {Work|null} */ (app.state.compose);
  if (work && work.path === undefined) app.state.compose = work = adopt(app, work);
  if (work && work.path !== app.state.route.path) app.state.compose = work = null;
  return work ? open(app, work) : collapsed(app);
}
