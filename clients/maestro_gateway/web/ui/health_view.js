// Health: what needs the person first, then what was checked, how far the limits are used, and the mail that is stuck.
// @ts-check
/** @import {App, View} from './types.js' */
import {html, nothing} from './vendor/lit-html/lit-html.js';
import {tried} from './api.js';
import {bar, linesOf, number, sheet, tableOf} from './charts.js';
import {icon} from './icons.js';
import {firstLine} from './markdown.js';
import {path} from './router.js';
import {whenBack} from './store.js';
import {age, bytes, clock, counted, delay, refusalWords} from './words.js';

/** @typedef {{icon: string, name: string, text: unknown, command?: string}} Need */

const HOUR = 3_600_000;
const NEAR = 0.9;
const seen = {
  status: /** @type {any} */ (null), dead: /** @type {any[]} */ ([]), error: /** @type {any} */ (null),
  at: 0, copied: '', again: /** @type {Map<string, string>} */ (new Map()), off: () => {},
};

/** What the post office says of itself. @param {App} app @returns {Promise<any>} */
export const status = (app) => app.api.get('/api/status').then(({broker, gateway}) => ({...broker, gateway}));

/** Read it, and count what needs the person: for the sidebar too. @param {App} app */
export async function load(app) {
  const [found, error] = await tried(Promise.all([status(app), app.api.get('/api/dead-letters', {limit: 50})]));
  seen.error = error;
  if (found) {
    Object.assign(seen, {status: found[0], dead: found[1].messages, at: Date.now()});
    for (const id of Object.keys(found[1].retried)) seen.again.set(id, 'Sent again');
    app.state.mailboxMax = seen.status.limits.pending_max.value;
    app.state.health = needs(app).length;
  }
  app.update();
}

/** @param {App} app @param {string} id */
const mailbox = (app, id) => (id === 'operator' ? 'your inbox' : `mailbox of ${app.nameOf(id)}`);

/** The things that need the person, the worst first. @param {App} app @returns {Need[]} */
export function needs(app) {
  const {status: s} = seen;
  /** @type {Need[]} */
  const found = [];
  if (!s) return found;
  const most = s.limits.pending_max.value;
  for (const [id, pending] of Object.entries(s.mailboxes.fullest ?? {})) {
    const {state, since} = app.state.sessions.get(id)?.presence ?? {};
    const gone = state === 'gone' || state === 'ended';
    if (pending < NEAR * most) continue;
    const full = pending >= most;
    found.push({
      icon: full ? 'x' : 'warn', name: mailbox(app, id),
      text: `${full ? 'Full' : 'Nearly full'}: ${number(pending)} undelivered messages${full ? ', the limit' : ` of ${number(most)}`}.${gone && since ? ` ${app.nameOf(id)} is gone since ${clock(since)}${full ? '; its mail is refused' : ''}.` : ''}`,
      command: gone ? `maestro session end ${app.nameOf(id)}` : `maestro inbox --session ${app.nameOf(id)}`,
    });
  }
  for (const {session, presence} of app.state.sessions.values()) {
    const silent = presence.since ? app.state.now - presence.since : 0;
    if (session.agent && presence.state === 'unknown' && silent > HOUR) found.push({icon: 'warn', name: `hooks of ${app.nameOf(session.id)}`,
      text: `${session.agent} has called no hook for ${age(silent)}; its state is not known.`, command: `maestro hooks install ${session.agent}`});
    if (presence.wake?.state === 'unanswered') found.push({icon: 'warn', name: `wake of ${app.nameOf(session.id)}`, text: presence.wake.reason ?? 'It was woken, and did not answer.', command: `maestro wake ${app.nameOf(session.id)} --test`});
    if (presence.state === 'gone' && presence.unread) found.push({icon: 'warn', name: app.nameOf(session.id),
      text: `It is gone${presence.since ? ` since ${clock(presence.since)}` : ''}; ${counted(presence.unread, 'message')} for it ${presence.unread === 1 ? 'waits' : 'wait'}.`, command: `maestro session end ${app.nameOf(session.id)}`});
  }
  if (s.outbox?.failed) found.push({icon: 'x', name: 'outbox', text: `${counted(s.outbox.failed, 'message')} of the outbox ${s.outbox.failed === 1 ? 'was' : 'were'} refused for good.`, command: 'maestro outbox'});
  for (const each of s.warnings ?? []) found.push({icon: 'warn', name: 'broker', text: each});
  return found.sort((a, b) => Number(b.icon === 'x') - Number(a.icon === 'x'));
}

/** @param {App} app @param {Need} need */
const needed = (app, need) => html`<li class=${need.icon === 'x' ? 'fail' : 'attn'}>${icon(need.icon)}<b>${need.name}</b><div><p>${need.text}</p>
  ${need.command ? html`<button type="button" class="command" aria-label="Copy ${need.command}" @click=${() => navigator.clipboard.writeText(need.command ?? '').then(() => (seen.copied = need.command ?? '', app.update()))}><code>${need.command}</code>${icon(seen.copied === need.command ? 'check' : 'copy')}</button>` : nothing}</div></li>`;

/** @param {string} name @param {string} text @param {boolean} [bad] */
const check = (name, text, bad = false) => html`<li class=${bad ? 'fail' : nothing}>${icon(bad ? 'x' : 'check')}<b>${name}</b><span>${text}</span></li>`;

/** @param {any} s */
function checks(s) {
  const {disk, commit, gateway, index, attachments} = s;
  return html`<section><h2>Checks</h2><ul class="checks">
    ${check('versions', s.version === gateway.version ? `maestro ${s.version}` : `broker ${s.version}, gateway ${gateway.version}: start both again`, s.version !== gateway.version)}
    ${check('broker', `pid ${s.pid}, up ${delay(s.uptimeMs)}`)}
    ${check('gateway', `${gateway.address.replace(/^\w+:../, '')}, ${counted(gateway.webSockets, 'page')}${gateway.eventStreams ? `, ${counted(gateway.eventStreams, 'stream')}` : ''}`)}
    ${check('data directory', `${disk.mailBytes === null ? '' : `${bytes(disk.mailBytes)} of mail, `}${bytes(disk.freeBytes)} free`)}
    ${check('journal', `${bytes(disk.journalBytes)}${commit.p50Ms === undefined ? '' : `, a commit takes ${commit.p50Ms.toFixed(1)} ms`}`)}
    ${check('filing', s.filingBacklog ? `${counted(s.filingBacklog, 'record')} behind` : 'up to date')}
    ${index ? check('search index', index.running ? `${bytes(index.bytes)}, in use` : `${bytes(index.bytes)}, asleep until the next search`) : nothing}
    ${attachments?.blobs === undefined ? nothing : check('attachments', counted(attachments.blobs, 'file'))}</ul></section>`;
}

/** @param {App} app @param {any} s */
function limits(app, s) {
  const of = (/** @type {string} */ name) => s.limits[name]?.value;
  const active = Object.entries(s.sessions ?? {}).reduce((sum, [state, count]) => sum + (['idle', 'working', 'spawning'].includes(state) ? Number(count) : 0), 0);
  /** @type {[string, number|undefined, number|undefined, (count: number) => string][]} */
  const rows = [
    ...Object.entries(s.mailboxes.fullest ?? {}).filter(([, pending], at) => !at || 2 * Number(pending) > Number(of('pending_max'))).slice(0, 5).map(([id, pending]) => /** @type {[string, number, number, any]} */ ([mailbox(app, id), pending, of('pending_max'), number])),
    ['attachments', s.attachments?.bytes, of('attachments_total_bytes_max'), bytes], ['active sessions', active, of('sessions_max'), number],
    ['groups', app.state.groups.size, of('groups_max'), number], ['not filed yet', s.filingBacklogBytes, of('filing_backlog_bytes_max'), bytes],
  ];
  return tableOf(html`Limits <small>used of allowed</small>`, rows.map(([name, used, most, words]) => (used === undefined || !most ? nothing
    : html`<tr class=${used >= most ? 'fail' : nothing}><th scope="row">${name}</th><td class="wide">${bar(used, most, 'used')}</td><td>${words(used)} of ${words(most)}</td></tr>`)));
}

/** @param {App} app */
function unseen(app) {
  const most = seen.status.limits.pending_max.value, {now, sessions} = app.state;
  const rows = [...sessions.values()].map(({session: {id}, presence: {unread = 0, oldestAt}}) => ({id, unread, oldestAt})).filter(({unread}) => unread);
  return tableOf('Mail not shown yet', rows.sort((a, b) => b.unread - a.unread).map(({id, unread, oldestAt}) => html`<tr>
    <th scope="row"><a href=${path('s', id)}><b><bdi>${app.nameOf(id)}</bdi></b></a></th><td class=${unread >= most ? 'fail' : nothing}>${number(unread)}</td>
    <td class="quiet">${oldestAt ? `oldest ${age(now - oldestAt) || 'now'}` : nothing}</td></tr>`), {empty: 'Every agent has seen its mail.', kind: ''});
}

/** @param {App} app @param {string} id */
async function sendAgain(app, id) {
  seen.again.set(id, 'Sending');
  app.update();
  await app.api.post(`/api/messages/${encodeURIComponent(id)}/retry`, undefined).then(() => seen.again.set(id, 'Sent again'), (error) => seen.again.set(id, refusalWords(error)));
  await load(app);
}

/** @param {App} app */
const dead = (app) => linesOf(html`Dead letters <small>expired before an agent saw them</small>`, seen.dead.map(({id, createdAt, from, to, message}) => html`<li>
  <time class="quiet">${clock(createdAt)}</time><span class="who"><bdi>${app.nameOf(from)}</bdi>${icon('arrow')}<bdi>${app.nameOf(to)}</bdi></span>
  <a class="cut" dir="auto" href=${path('m', id)}>${firstLine(message)}</a>
  ${seen.again.has(id) ? html`<span class="quiet" role="status">${seen.again.get(id)}</span>` : app.state.rights === 'view' ? nothing
    : html`<button type="button" class="link" @click=${() => sendAgain(app, id)}>Send again</button>`}</li>`), 'None.', 'dead');

/** @type {View} */
export const health = {
  title: () => 'Health',
  enter(app) {
    seen.off = whenBack(app, () => load(app));
    return load(app);
  },
  leave: () => seen.off(),
  header: (app) => html`<span class="quiet">${seen.at ? `checked ${clock(seen.at, {seconds: true})}` : ''}</span><button type="button" class="link" @click=${() => load(app)}>Check again</button>`,
  render(app) {
    const {status: s, error} = seen;
    const found = s ? needs(app) : [];
    return sheet('Health', error, html`
      ${s ? html`<section class="needs"><h2>${error && !found.length ? 'What needs you is not known now' : found.length ? `${counted(found.length, 'thing')} ${found.length === 1 ? 'needs' : 'need'} you` : 'Nothing needs you'}</h2><ul class="checks">${found.map((each) => needed(app, each))}</ul></section>
        <div class="halves"><div>${checks(s)}<section><h2>Outbox <small>kept until the broker takes it</small></h2><p class="quiet">${s.outbox?.waiting ? `${counted(s.outbox.waiting, 'message')} ${s.outbox.waiting === 1 ? 'waits' : 'wait'}.` : 'Empty.'}</p></section></div>
          <div>${limits(app, s)}${unseen(app)}${dead(app)}</div></div>` : nothing}`);
  },
};
