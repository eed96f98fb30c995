// Reach: who would get the message that is being written, and when. The post office answers that; nothing is guessed here.
// @ts-check
/** @import {App} from './types.js' */
/** @import {Work} from './composer.js' */
import {html, nothing} from './vendor/lit-html/lit-html.js';
import {icon} from './icons.js';
import {age, refusalWords} from './words.js';

const FOLDED = 12;

/**
 * When a receiver sees the message.
 * @param {App} app @param {any} one A line of the preview.
 */
export function whenOf(app, one) {
  const {state, since} = one.presence ?? {};
  const long = since ? age(app.state.now - since) : '';
  if (one.reach === 'watching') return 'at once';
  if (state === 'waiting') return 'when you answer it';
  if (state === 'unknown' && long) return `no sign of life for ${long}`;
  return {
    tool: 'after its next tool call', wake: 'woken, or at its next prompt', prompt: 'at its next prompt', inbox: 'when it looks',
    gone: `if it comes back; gone ${long}`.replace(/; gone $/, ''), ended: 'if it is started again',
  }[/** @type {string} */ (one.reach)] ?? 'when it looks';
}

/** A refusal in few words; the whole of it is its title. @param {any} error */
const refused = (error) => (error.code === 'MAILBOX_FULL' ? `mailbox full${error.limit ? ` (${error.limit.toLocaleString('en')})` : ''}` : error.message);

/** @param {App} app @param {any} one */
const receiver = (app, one) => html`<li>${one.error ? icon('refused') : icon(one.presence?.state ?? 'unknown')}<bdi class="cut">${one.name ?? app.nameOf(one.to)}</bdi>
  <span class=${one.error ? 'fail' : 'quiet'} title=${one.error ? one.error.message : nothing}>${one.error ? refused(one.error) : whenOf(app, one)}</span></li>`;

/** @param {App} app @param {Work} work */
export function reachPanel(app, work) {
  const {preview, error} = work;
  /** @type {any[]} */
  const all = preview?.recipients ?? [];
  /** @param {any} one */
  const kind = (one) => (one.error ? 'Not reached' : one.reach === 'watching' || (one.reach === 'tool' && one.presence?.state !== 'waiting') ? 'Now' : 'Later');
  const parts = ['Now', 'Later', 'Not reached'].map((name) => ({name, ones: all.filter((one) => kind(one) === name)})).filter(({ones}) => ones.length);
  return html`<section class="reach" tabindex="0" aria-label="Who gets it">${error ? html`<h2>Reaches no session</h2><p class="fail">${refusalWords(error)}</p>`
    : !preview ? html`<h2>Who gets it</h2><p class="quiet">${work.to.length ? 'The post office is asked.' : 'Name a session, a group or an audience.'}</p>`
      : html`<h2>Reaches ${preview.accepted} of ${all.length}</h2>${parts.map(({name, ones}) => (all.length > FOLDED
        ? html`<details><summary>${name} <span class="quiet">${ones.length}</span></summary><ul>${ones.map((one) => receiver(app, one))}</ul></details>`
        : html`<h3>${name}</h3><ul>${ones.map((one) => receiver(app, one))}</ul>`))}`}</section>`;
}
