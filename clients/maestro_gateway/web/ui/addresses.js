// Addresses: the receivers of a message as tokens, and the field that completes sessions, groups and audiences.
// @ts-check
/** @import {App} from './types.js' */
/** @import {Work} from './composer.js' */
import {html, nothing} from './vendor/lit-html/lit-html.js';
import {live} from './vendor/lit-html/directives/live.js';
import {icon} from './icons.js';
import {change, pick} from './composer.js';

const SHOWN = 8;
const AUDIENCES = [['@all', 'every session'], ['@workers', 'the workers'], ['@orchestrators', 'the orchestrators'], ['@project', 'the sessions of the project']];

/** @typedef {{address: string, name: string, words: string, state?: string}} Candidate */

/**
 * What fits the typed beginning: sessions, groups, audiences.
 * @param {App} app @param {Work} work @returns {Candidate[]}
 */
export function candidates(app, work) {
  const typed = work.entry.trim().toLowerCase();
  const sessions = [...app.state.sessions.values()].filter(({presence}) => presence.state !== 'ended').map(({session, presence}) => ({
    address: session.id, name: session.name || session.id, words: `${session.role} of ${session.projectId}`, state: presence.state,
  }));
  const projects = [...new Set([...app.state.sessions.values()].map(({session}) => session.projectId))];
  const groups = [...app.state.groups.values()].map((group) => ({address: `@${group.name}`, name: `@${group.name}`, words: `group of ${group.active}`}));
  const audiences = [...AUDIENCES, ...projects.map((name) => [`@project:${name}`, 'the sessions of it'])].map(([address, words]) => ({address, name: address, words}));
  return [...sessions, ...groups, ...audiences].filter(({address, name}) => !work.to.includes(address)
    && (name.toLowerCase().startsWith(typed) || address.toLowerCase().startsWith(typed) || (typed && address.startsWith('@') && address.slice(1).startsWith(typed)))).slice(0, SHOWN);
}

/** @param {App} app @param {Work} work */
export const tokens = (app, work) => work.to.map((address) => {
  const name = address.startsWith('@') ? address : app.nameOf(address);
  return html`<span class="token"><bdi>${name}</bdi><button type="button" aria-label="Remove ${name}" @click=${() => {
    change(app, work, {to: work.to.filter((each) => each !== address)});
    document.getElementById('compose-to')?.focus();
  }}>${icon('x')}</button></span>`;
});

/** @param {App} app @param {Work} work */
export function picker(app, work) {
  const fitting = () => work.listed ? candidates(app, work) : [];
  const found = fitting();
  /** @param {Partial<Work>} fields */
  const set = (fields) => void (Object.assign(work, fields), app.update());
  /** @param {KeyboardEvent} event */
  const key = (event) => {
    // As of now: keys may come faster than the list is drawn, and Enter must not take what stood there before.
    const typed = work.entry.trim(), now = fitting();
    const step = {ArrowDown: 1, ArrowUp: -1}[event.key];
    if (step) set({listed: true, at: now.length ? (work.at + step + now.length) % now.length : 0});
    else if (['Enter', 'Tab', ',', ' '].includes(event.key) && typed && !event.ctrlKey && !event.metaKey) pick(app, work, now[work.at]?.address ?? typed);
    else if (event.key === 'Enter' && work.to.length && !event.ctrlKey && !event.metaKey) document.getElementById('compose-text')?.focus();
    else if (event.key === 'Backspace' && !work.entry && work.to.length) change(app, work, {to: work.to.slice(0, -1)});
    else if (event.key === 'Escape' && work.listed && typed) set({listed: false, entry: ''});
    else return;
    event.preventDefault();
  };
  return html`<span class="picker"><input id="compose-to" role="combobox" autocomplete="off" autocapitalize="off" spellcheck="false" aria-label="To"
      aria-autocomplete="list" aria-expanded=${found.length ? 'true' : 'false'} aria-controls="compose-list"
      aria-activedescendant=${found.length ? `compose-at-${work.at}` : nothing} placeholder=${work.to.length ? 'add…' : 'a session, @workers, @all'}
      .value=${live(work.entry)} @input=${(/** @type {any} */ event) => set({entry: event.target.value, at: 0, listed: event.target.value.trim() !== ''})}
      @keydown=${key} @blur=${() => set({listed: false})}>
    <ul class="options" id="compose-list" role="listbox" aria-label="Receivers" ?hidden=${!found.length}>${found.map((each, index) => html`<li role="option"
      id="compose-at-${index}" aria-selected=${index === work.at ? 'true' : 'false'} @mousedown=${(/** @type {Event} */ event) => {
        event.preventDefault();
        pick(app, work, each.address);
      }}>${icon(each.state ?? 'group')}<bdi>${each.name}</bdi><span class="quiet cut">${each.words}</span></li>`)}</ul></span>`;
}
