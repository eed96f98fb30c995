// Composer: a stand-in until the real one is there.
// @ts-check
/** @import { App } from "./types.js" */
import { html } from "./vendor/lit-html/lit-html.js";

/** @param {App} app */
function close(app) {
  app.state.compose = null;
  app.update();
  document.getElementById('main')?.focus();
}

/** @param {App} app @param {Work} work @param {string} address */
export function pick(app, work, address) {
  if (address && !work.to.includes(address)) work.to = [...work.to, address];
  Object.assign(work, {entry: '', at: 0, listed: false});
  refresh(app, work);
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
    ${away ? nothing : html`<span class="to">${draft?.replyTo || rootOf(app) ? 'Reply to:' : 'To:'}${names ? html` <bdi>${names}</bdi>` : nothing}</span>`}
    <span class="cut ${line.failed && words === line.said ? 'fail' : 'quiet'}">${words}</span>${app.state.keysOn ? html`<kbd class="key">c</kbd>` : nothing}</button>`;
}

/**
 * @param {App} app @param {Work} work @param {string} label @param {'type'|'priority'} field @param {Record<string, string>} words
 */
const choice = (app, work, label, field, words) => html`<label class="choice"><span class="hidden">${label}</span>
  <select .value=${live(work[field])} @change=${(/** @type {any} */ event) => {
    work[field] = event.target.value;
    refresh(app, work);
  }}>${Object.entries(words).map(([value, word]) => html`<option value=${value} ?selected=${value === work[field]}>${word}</option>`)}</select>${icon('chevron-down')}</label>`;

/** @param {App} app @param {Work} work */
function label(app, work) {
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
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      send(app, work);
    } else if (event.key === 'Escape' && !event.defaultPrevented) {
      event.preventDefault();
      event.stopPropagation();
      close(app);
    }
  };
  /** @param {FileList|null|undefined} files @param {Event} event */
  const files = (files, event) => {
    if (!files?.length) return;
    event.preventDefault();
    addFiles(app, work, [...files], keep);
  };
  return html`<form class="composer open" aria-label="Write a message" @keydown=${key} @submit=${(/** @type {Event} */ event) => event.preventDefault()}
      @dragover=${(/** @type {Event} */ event) => event.preventDefault()} @drop=${(/** @type {DragEvent} */ event) => files(event.dataTransfer?.files, event)}>
    <div class="writing">
      <div class="address"><label class="quiet" for="compose-to">To</label>${tokens(app, work)}${picker(app, work)}
        <span class="quiet from">from operator (you)</span><button type="button" class="shut" aria-label="Close; the draft is kept" @click=${() => close(app)}>${icon('x')}</button></div>
      ${work.replyTo ? html`<p class="answers quiet">${icon('reply')}<bdi class="cut" dir="auto">${firstLine(work.replyTo.message)}</bdi>
        <button type="button" class="link" @click=${() => {
          work.replyTo = null;
          refresh(app, work);
        }}>not an answer</button></p>` : nothing}
      <textarea id="compose-text" aria-label="Text" dir="auto" .value=${live(work.text)} @input=${(/** @type {any} */ event) => {
        work.text = event.target.value;
        keep();
        app.update();
      }} @paste=${(/** @type {ClipboardEvent} */ event) => files(event.clipboardData?.files, event)}></textarea>
      ${fileList(app, work, keep)}
      <div role="alert">${refusal ? html`<p class="refusal">${icon('refused')}<span>${refusal.message} ${refusal.hint}</span></p>` : nothing}</div>
      ${work.sure ? html`<p class="sure">${icon('warn')}<span>This goes to ${work.preview.accepted} sessions at once. Press again to send it.</span></p>` : nothing}
      ${hindered ? html`<p class="quiet">${hindered}</p>` : nothing}
      <div class="actions">${choice(app, work, 'Type', 'type', TYPES)}${choice(app, work, 'Priority', 'priority', PRIORITIES)}
        <label class="check"><input type="checkbox" class="hidden" .checked=${live(work.requiresAck)} @change=${(/** @type {any} */ event) => {
          work.requiresAck = event.target.checked;
          refresh(app, work);
        }}>${icon(work.requiresAck ? 'checkbox-on' : 'checkbox')}ask for acknowledgement</label>
        <label class="check">${icon('clip')}<input type="file" class="hidden" multiple aria-label="Attach files" @change=${(/** @type {any} */ event) => {
          files(event.target.files, event);
          event.target.value = '';
        }}><span aria-hidden="true">Attach</span></label>
        <button type="button" class="send" ?disabled=${Boolean(hindered) || work.sending || !work.to.length} @click=${() => send(app, work)}>${label(app, work)}<kbd>${KEY} ↵</kbd></button></div>
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
