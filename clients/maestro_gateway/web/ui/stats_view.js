// Stats: what was sent in a time, how fast it was shown and answered, and who works with whom.
// @ts-check
/** @import {App, Route, View} from './types.js' */
import {html, nothing} from './vendor/lit-html/lit-html.js';
import {tried} from './api.js';
import {axis, axisEnd, bar, bars, linesOf, number, sheet, span, strip, tableOf} from './charts.js';
import {icon} from './icons.js';
import {firstLine} from './markdown.js';
import {path} from './router.js';
import {whenBack} from './store.js';
import {age, clock} from './words.js';

const HOUR = 3_600_000;
const AGAIN_MS = 60_000;
/** @type {Record<string, {words: string, ms: number, long: string}>} */
const TIMES = {
  '1h': {words: '1 h', ms: HOUR, long: 'the last hour'},
  '24h': {words: '24 h', ms: 24 * HOUR, long: 'the last 24 hours'},
  '7d': {words: '7 d', ms: 168 * HOUR, long: 'the last 7 days'},
};
const STEPS = ['offered', 'delivered', 'read', 'answered'];
const ROWS_MAX = 10;

/** @type {{figures: any, error: any, as: boolean, timer: number, asked: number, off: () => void}} */
const seen = {figures: null, error: null, as: false, timer: 0, asked: 0, off: () => {}};

/** @param {Route} route */
const chosen = (route) => TIMES[route.query.t] ?? TIMES['24h'];

/** @param {App} app */
async function load(app) {
  const asked = ++seen.asked;
  const until = Date.now();
  const query = {since: until - chosen(app.state.route).ms, until: until + 1, project: app.state.project, utcOffsetMinutes: -new Date().getTimezoneOffset()};
  const [found, error] = await tried(app.api.get('/api/stats', query));
  if (asked !== seen.asked) return;
  Object.assign(seen, {figures: found ?? seen.figures, error});
  app.update();
}

/** @param {number|undefined|null} part */
const percent = (part) => (part === undefined || part === null ? '–' : `${(100 * part).toFixed(1).replace(/\.0$/, '')} %`);

/** @param {App} app @param {string} id */
export const person = (app, id) => (app.nameOf(id) === 'you' ? html`<bdi class="you">you</bdi>`
  : html`<bdi>${id.startsWith('@') ? id : seen.figures?.people[id]?.name || app.nameOf(id)}</bdi>`);

/** @param {string} value @param {string} words @param {string} [kind] */
const figure = (value, words, kind = '') => html`<div><dd class=${kind}>${value}</dd><dt>${words}</dt></div>`;

/** @param {any} f */
function sums(f) {
  const {volume, outcome, times} = f;
  const copies = volume.sent ? (volume.deliveries / volume.sent).toFixed(1) : '0';
  return html`<dl class="figures">
    ${figure(number(volume.sent), 'sent')}${figure(number(volume.deliveries), `deliveries, ${copies} a send`)}
    ${figure(percent(outcome.deliverySuccessRate), 'delivery success rate')}
    ${figure(percent(volume.deliveries ? outcome.read / volume.deliveries : null), 'read')}
    ${figure(span(times.answered.meanMs) || '–', 'average response time')}
    ${figure(number(outcome.pending), 'waiting to be shown')}
    ${figure(number(outcome.refused), 'refused', outcome.refused ? 'fail' : '')}
    ${figure(`${number(f.requestsAnswered)} of ${number(f.requests)}`, 'requests answered by reply')}</dl>`;
}

/** @param {App} app @param {any} f */
function volumes(app, f) {
  const daily = f.bucketMs > HOUR;
  /** @param {number} at */
  const label = (at) => (daily ? new Date(at).toLocaleDateString('en', {weekday: 'short'}) : clock(at).slice(0, 2));
  const name = `${f.volume.sent} sent and ${f.volume.deliveries} deliveries in ${chosen(app.state.route).long}`;
  const toggle = () => void (seen.as = !seen.as, app.update());
  return html`<section><h2>Mail ${daily ? 'a day' : 'an hour'}</h2>
    ${seen.as ? html`<table class="grid narrow"><thead><tr><th scope="col">${daily ? 'day' : 'hour'}</th><th scope="col">sent</th>
      <th scope="col">delivered</th></tr></thead><tbody>${f.series.map((/** @type {any} */ each) => html`<tr><th scope="row">${label(each.at)}</th>
      <td>${number(each.sent)}</td><td>${number(each.deliveries)}</td></tr>`)}</tbody></table>`
    : html`<div class="plot">${bars(f.series, label, name)}</div>`}
    <p class="legend"><span class="swatch sent"></span>sent<span class="swatch copies"></span>delivered, with copies to several
      <button class="link" type="button" aria-pressed=${seen.as} @click=${toggle}>${seen.as ? 'as a chart' : 'as a table'}</button></p></section>`;
}

/** @param {any} f */
function durations(f) {
  const end = axisEnd(STEPS.map((each) => f.times[each].maxMs));
  return html`<section><h2>How long it takes <small>dot: half of them; bar: 9 of 10; ring: the slowest</small></h2>
    <table class="grid times"><thead><tr><th scope="col"><span class="hidden">step</span></th><td class="wide">${axis(end)}</td>
      <th scope="col">p50</th><th scope="col">p90</th><th scope="col">max</th><th scope="col" class="mean">average</th></tr></thead>
    <tbody>${STEPS.map((each) => html`<tr><th scope="row">${each}</th><td class="wide">${strip(f.times[each], end)}</td>
      <td class="strong">${span(f.times[each].p50Ms)}</td><td>${span(f.times[each].p90Ms)}</td><td class="quiet">${span(f.times[each].maxMs)}</td>
      <td class="quiet mean">${span(f.times[each].meanMs)}</td></tr>`)}</tbody></table></section>`;
}

/** @param {App} app @param {any} f */
const unanswered = (app, f) => linesOf(html`Requests without an answer <small>oldest first</small>`, f.unanswered.slice(0, ROWS_MAX).map((/** @type {any} */ each) => html`<li>
    <b>${person(app, each.to)}</b><a class="cut" dir="auto" href=${path('m', each.id)}>${firstLine(each.text)}</a>
    <span class="quiet">${age(Math.max(0, app.state.now - each.at)) || 'now'}</span></li>`).concat(f.unanswered.length > ROWS_MAX
  ? html`<li><a class="more" href="/ui/search?q=is%3Aunanswered">All requests without an answer</a></li>` : []), 'Every request has an answer.');

/**
 * A table of names with bars. `more`: further cells.
 * @param {unknown} title
 * @param {any[]} all
 * @param {(row: any) => unknown} name
 * @param {(row: any) => number} value
 * @param {{empty: string, head?: unknown}} how
 * @param {(row: any) => unknown} [more]
 */
function barred(title, all, name, value, how, more = (row) => html`<td>${number(value(row))}</td>`) {
  const rows = all.slice(0, ROWS_MAX), most = Math.max(1, ...rows.map(value));
  return tableOf(title, rows.map((row) => html`<tr>
    <th scope="row">${name(row)}</th><td class="wide">${bar(value(row), most)}</td>${more(row)}</tr>`), how);
}

/** @param {App} app @param {any} f */
const pairs = (app, f) => barred('Who works with whom', f.pairs,
  ({first, second}) => html`<a href=${path('c', first, second)}>${person(app, first)}${icon('both')}${person(app, second)}</a>`,
  ({forth, back}) => forth + back,
  {empty: 'No two sessions wrote to each other.', head: html`<thead><tr><td></td><td class="wide"></td>
    <th scope="col">there</th><th scope="col">back</th><th scope="col">answers in</th></tr></thead>`},
  ({forth, back, meanAnswerMs}) => html`<td>${number(forth)}</td><td>${number(back)}</td><td class="quiet">${span(meanAnswerMs) || '–'}</td>`);

/** @param {App} app @param {any} f */
const refusals = (app, f) => tableOf('Refused', f.refusals.slice(0, ROWS_MAX).map((/** @type {any} */ {name, from, to, count}) => html`<tr>
  <th scope="row"><code>${name}</code></th><td class="left">${from ? person(app, from) : nothing}${from && to ? ' to ' : nothing}${to ? person(app, to) : nothing}</td>
  <td>${number(count)}</td></tr>`), {empty: 'Nothing was refused.', kind: ''});

/** What showed mail; its agent where several have such a hook. @param {{name: string}} via */
function way({name}) {
  const [kind, agent, hook] = name.split(':');
  const several = seen.figures.via.filter((/** @type {any} */ each) => each.name.startsWith('hook:') && each.name.endsWith(`:${hook}`)).length > 1;
  return kind === 'hook' && hook ? html`hook: ${hook}${several ? html` <small>${agent}</small>` : nothing}` : name;
}

/** @type {View} */
export const stats = {
  title: () => 'Stats',
  enter(app) {
    seen.timer = window.setInterval(() => load(app), AGAIN_MS);
    seen.off = whenBack(app, () => load(app));
    return load(app);
  },
  leave: () => void (clearInterval(seen.timer), seen.off(), seen.asked += 1),
  header: (app) => html`<nav class="periods" aria-label="The time of the figures">${Object.entries(TIMES).map(([name, each]) => html`<a
    href="/ui/stats?t=${name}" aria-current=${each === chosen(app.state.route) ? 'true' : nothing}>${each.words}</a>`)}</nav>`,
  render(app) {
    const f = seen.figures;
    return sheet('Stats', seen.error, html`
      ${f ? html`${sums(f)}${f.volume.sent ? html`<div class="halves">${volumes(app, f)}${durations(f)}${unanswered(app, f)}
        ${barred('Routes', f.routes, (each) => html`${person(app, each.from)}${icon('arrow')}${person(app, each.to)}`, (each) => each.deliveries, {empty: 'No route yet.'})}
        ${barred('How mail reached agents', f.via, way, (each) => each.count, {empty: 'No mail was delivered.'})}${pairs(app, f)}${refusals(app, f)}</div>`
    : html`<p class="empty">No mail in this time.</p>`}
      ${f.index.upTo < f.index.head ? html`<p class="quiet">The index is ${number(f.index.head - f.index.upTo)} records behind; the figures follow.</p>` : nothing}` : nothing}`);
  },
};
