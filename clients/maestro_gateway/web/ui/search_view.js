// Search: a field that completes its operators, and what it finds, the newest first.
// @ts-check
/** @import {App, View} from './types.js' */
import {html, nothing} from './vendor/lit-html/lit-html.js';
import {live} from './vendor/lit-html/directives/live.js';
import {tried} from './api.js';
import {status} from './health_view.js';
import {focusSoon} from './composer.js';
import {icon} from './icons.js';
import {askCounts} from './receipts.js';
import {looseRows, messageRow} from './rows.js';
import {whenBack} from './store.js';
import {counted, dayOf, fullStop} from './words.js';

/** @typedef {{name: string, value: string, help: string, words?: string[]}} Operator */
/** @typedef {{text: string, help: string}} Choice */

const SOON_MS = 120;
const PAGE = 50;
const OPERATOR = /^(-?)([a-z-]+):(.*)$/i;
const seen = {
  query: '', caret: 0, listed: false, at: 0, operators: /** @type {Operator[]} */ ([]), hits: /** @type {any[]} */ ([]), total: 0, ms: 0, before: 0,
  more: false, error: /** @type {any} */ (null), asked: 0, done: '', index: /** @type {any} */ (null), kept: '', timer: 0, off: () => {},
};

const opened = looseRows();

/** The word that the caret is in, up to the caret. */
const word = () => /\S*$/.exec(seen.query.slice(0, seen.caret))?.[0] ?? '';

/** What may stand behind an operator. @param {App} app @param {Operator} operator @returns {string[]} */
function values(app, {name, words}) {
  const {sessions, groups} = app.state;
  const people = [...[...sessions.values()].map(({session}) => session.name || session.id), 'operator'];
  const named = [...groups.keys()];
  const projects = [...new Set([...sessions.values()].map(({session}) => session.projectId))];
  /** @type {Record<string, string[]>} */
  const known = {to: [...people, ...named.map((each) => `@${each}`)], from: people, with: people, group: named, project: projects};
  return words?.length ? words : known[name] ?? [];
}

/** The completions of the word at the caret. @param {App} app @returns {Choice[]} */
function choices(app) {
  const typed = word();
  const [, minus = '', name = '', value = ''] = OPERATOR.exec(typed) ?? [];
  const operator = seen.operators.find((each) => each.name === name.toLowerCase());
  if (operator) {
    /** @param {string} each */
    const help = (each) => operator.help.split('; ').find((part) => part.startsWith(`${each}: `))?.slice(each.length + 2) ?? operator.help;
    return values(app, operator).filter((each) => each.toLowerCase().startsWith(value.toLowerCase()) && each !== value)
      .slice(0, 8).map((each) => ({text: `${minus}${operator.name}:${each}`, help: help(each)}));
  }
  const begun = typed.replace(/^-/, '').toLowerCase();
  return begun ? seen.operators.filter((each) => each.name.startsWith(begun)).map((each) => ({text: `${typed[0] === '-' ? '-' : ''}${each.name}:`, help: each.help})) : [];
}

/** The query without an operator that is being typed: its value is not there yet. @param {App} app */
function ripe(app) {
  const typed = word();
  const begun = seen.listed && typed.includes(':') && choices(app).length;
  return (begun ? seen.query.slice(0, seen.caret - typed.length) + seen.query.slice(seen.caret) : seen.query).trim();
}

/** @param {App} app @param {boolean} more */
async function find(app, more = false) {
  const asked = ++seen.asked;
  const query = more ? seen.done : ripe(app);
  seen.done = query;
  if (!query) Object.assign(seen, {hits: [], total: 0, more: false, error: null});
  else {
    const began = performance.now();
    const given = {q: query, project: app.state.project, limit: PAGE, before: more ? seen.before : undefined, utcOffsetMinutes: -new Date().getTimezoneOffset()};
    const [page, error] = await tried(app.api.get('/api/search', given));
    if (asked !== seen.asked) return;
    seen.error = error;
    if (page) count(app, page.hits);
    if (page) Object.assign(seen, {total: page.total, more: page.hasMore, before: page.before, index: page.index, ms: Math.round(performance.now() - began), hits: more ? [...seen.hits, ...page.hits] : page.hits});
  }
  app.update();
}

/** @param {App} app @param {Partial<typeof seen>} change */
function set(app, change) {
  Object.assign(seen, change);
  clearTimeout(seen.timer);
  seen.timer = window.setTimeout(() => {
    const path = `/ui/search?q=${encodeURIComponent(seen.query)}`;
    if (app.state.route.view !== 'search') return;
    if (app.state.route.path !== path) app.go(path, true);
    else if (ripe(app) !== seen.done) find(app);
  }, SOON_MS);
  app.update();
}

/** Put a completion in the place of the word at the caret. @param {App} app @param {HTMLInputElement} field @param {string} text */
function complete(app, field, text) {
  const start = seen.caret - word().length;
  const whole = text.endsWith(':') ? text : `${text} `;
  const query = seen.query.slice(0, start) + whole + seen.query.slice(seen.caret).trimStart();
  field.value = query;
  field.setSelectionRange(start + whole.length, start + whole.length);
  set(app, {query, caret: start + whole.length, at: 0, listed: text.endsWith(':')});
}

/** The query once more, with its operators in the accent: it lies below the field, whose own letters are not drawn. */
const painted = () => seen.query.split(/(\s+)/).map((part) => {
  const found = OPERATOR.exec(part);
  return found && seen.operators.some((each) => each.name === found[2].toLowerCase()) ? html`<b>${found[1]}${found[2]}:</b>${found[3]}` : part;
});

/** The field with its list. @param {App} app */
function box(app) {
  const found = seen.listed ? choices(app) : [];
  const others = seen.operators.filter(({name}) => !found.some(({text}) => text.replace('-', '').startsWith(`${name}:`))).map(({name}) => `${name}:`);
  /** @param {any} event */
  const typed = (event) => set(app, {query: event.target.value, caret: event.target.selectionStart ?? 0, at: 0, listed: true});
  /** @param {any} event */
  const key = (event) => {
    const step = {ArrowDown: 1, ArrowUp: -1}[/** @type {string} */ (event.key)];
    if (step && found.length) set(app, {at: (seen.at + step + found.length) % found.length});
    else if (event.key === 'Tab' && !event.shiftKey && found.length) complete(app, event.target, found[seen.at].text);
    else if (event.key === 'Enter' || event.key === 'Escape') {
      if (event.key === 'Escape' && !seen.listed) event.target.blur();
      set(app, {listed: false});
      if (event.key === 'Enter') find(app);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return html`<div class="searching" role="search"><div class="field">${icon('search')}<div class="typed"><div class="paint" aria-hidden="true">${painted()}</div>
    <input id="search" data-search type="text" role="combobox" aria-label="Search" autocomplete="off" autocapitalize="off" spellcheck="false" aria-autocomplete="list"
      aria-expanded=${found.length ? 'true' : 'false'} aria-controls="search-list" aria-activedescendant=${found.length ? `search-at-${seen.at}` : nothing}
      placeholder="Words, &quot;a phrase&quot;, from:ann" .value=${live(seen.query)} @input=${typed} @keydown=${key} @focus=${typed}
      @scroll=${(/** @type {any} */ event) => (event.target.previousElementSibling.scrollLeft = event.target.scrollLeft)}
      @click=${(/** @type {any} */ event) => set(app, {caret: event.target.selectionStart ?? 0})} @blur=${() => set(app, {listed: false})}></div><kbd class="key">Esc</kbd></div>
    <div class="options" ?hidden=${!seen.listed || !seen.operators.length}><ul id="search-list" role="listbox" aria-label="Completions" ?hidden=${!found.length}>${found.map((each, index) => html`<li role="option" id="search-at-${index}"
      aria-selected=${index === seen.at ? 'true' : 'false'} @mousedown=${(/** @type {Event} */ event) => {
        event.preventDefault();
        complete(app, /** @type {HTMLInputElement} */ (document.getElementById('search')), each.text);
      }}><span>${each.text}</span><span class="quiet">${each.help}</span>${index === seen.at ? html`<kbd class="key">Tab</kbd>` : nothing}</li>`)}</ul>
      ${others.length ? html`<p class="also"><span class="quiet">also</span> ${others.join(' ')} -word "phrase"</p>` : nothing}</div></div>`;
}

/** The found part of a text: its found words are marked, and its code is set as code. @param {any} hit */
function snippet({snippet: text, marks = []}) {
  let at = 0, isCode = false;
  const chars = [...text.replaceAll('**', '\u2060\u2060')];
  const edges = [...marks, [chars.length, chars.length]];
  /** @param {number} from @param {number} to @param {boolean} isMark */
  const part = (from, to, isMark) => chars.slice(from, to).join('').replaceAll('\u2060', '').split('`').map((words, index) => {
    isCode = index ? !isCode : isCode;
    const shown = isMark ? html`<mark>${words}</mark>` : words;
    return words && isCode ? html`<code>${shown}</code>` : words ? shown : nothing;
  });
  return edges.flatMap(([from, to]) => {
    const found = [part(at, from, false), part(from, to, true)];
    at = to;
    return found;
  });
}

/** @param {App} app @param {any} hit */
function result(app, hit) {
  const {createdAt} = hit.message;
  const days = (dayOf(app.state.now) - dayOf(createdAt)) / 86_400_000;
  const time = new Date(createdAt).toLocaleDateString('en-GB', days < 7 ? {weekday: 'short'} : {day: 'numeric', month: 'short'});
  return messageRow(app, opened, hit, {time: days < 1 ? '' : time, found: () => snippet(hit)});
}

/** What became of the messages to several, and which requests are answered: a search does not say it. @param {App} app @param {any[]} hits */
const count = (app, hits) => Promise.all(hits.filter((hit) => hit.receivers?.length > 1 || hit.message.metadata?.type === 'request').map(async (hit) => {
  const counts = await askCounts(app, hit.message.id);
  if (counts) seen.hits = seen.hits.map((each) => (each === hit ? {...hit, counts} : each));
})).then(app.update);

/** @param {App} app */
function results(app) {
  const {hits, error, done, index} = seen;
  if (error) return html`<p class="refusal" role="alert">${fullStop(error.message)} <span class="quiet">${error.hint}</span></p>`;
  if (!done) return html`<p class="empty quiet">Type words that were said. An operator such as <code>from:ann</code> narrows it.</p>`;
  if (!hits.length) {
    const fewer = done.split(/\s+/).slice(0, -1).join(' ');
    return html`<div class="empty"><p>Nothing found${seen.kept ? ` in ${seen.kept} of mail` : ''}.</p>${fewer ? html`<p><a href="/ui/search?q=${encodeURIComponent(fewer)}">Search for ${fewer}</a></p>` : nothing}</div>`;
  }
  return html`<ol class="rows">${hits.map((hit) => result(app, hit))}</ol>
    ${seen.more ? html`<button type="button" class="button more" @click=${() => find(app, true)}>Show more</button>`
      : html`<p class="quiet end">All mail${seen.kept ? ` of ${seen.kept}` : ''} was searched.${seen.kept ? html` Older mail is not kept (<code>retention = ${seen.kept.replace(/ (.).*/, '$1')}</code>).` : nothing}</p>`}
    ${index?.rebuilding !== undefined ? html`<p class="quiet end">The index is being built again: ${Math.round(100 * index.rebuilding)} % is done.</p>` : nothing}`;
}

/** @type {View} */
export const search = {
  title: () => 'Search',
  enter(app, route) {
    const query = route.query.q ?? '';
    if (query !== seen.query) Object.assign(seen, {query, caret: query.length, listed: false});
    if (!seen.operators.length) app.api.get('/api/search/operators').then((found) => set(app, {operators: found.operators ?? found}), () => {});
    if (!seen.kept) status(app).then((found) => {
      const days = (found.limits?.retention_ms?.value ?? 0) / 86_400_000;
      if (days >= 1) set(app, {kept: counted(Math.floor(days), 'day')});
    }, () => {});
    seen.off = whenBack(app, () => seen.error && find(app));
    const found = ripe(app) !== seen.done || seen.error ? find(app) : undefined;
    if (!query) focusSoon('search');
    return found;
  },
  leave: () => void (clearTimeout(seen.timer), seen.off()),
  header: (app) => html`${box(app)}<p class="quiet count" role="status">${seen.done && !seen.error && seen.hits.length ? `${counted(seen.total, 'message')}, ${seen.ms} ms, newest first` : ''}</p>`,
  render: (app) => html`<div class="scroll found">${results(app)}</div>`,
};
