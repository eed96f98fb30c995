// Stats: what was sent in a time, how fast it was shown and answered, and who works with whom.
// @ts-check
/** @import {App, Route, View} from './types.js' */
import {html, nothing} from './vendor/lit-html/lit-html.js';
import {axis, axisEnd, bar, bars, span, strip} from './charts.js';
import {icon} from './icons.js';
import {firstLine} from './markdown.js';
import {whenBack} from './store.js';
import {age, clock, refusalWords} from './words.js';

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
  const [figures, error] = await app.api.get('/api/stats', query).then((found) => [found, null], (failed) => [seen.figures, failed]);
  if (asked !== seen.asked) return;
  Object.assign(seen, {figures, error});
  app.update();
}

/** @param {number|undefined|null} part */
const percent = (part) => (part === undefined || part === null ? '–' : `${(100 * part).toFixed(1).replace(/\.0$/, '')} %`);
/** @param {number} count */
const number = (count) => count.toLocaleString('en');

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
const unanswered = (app, f) => html`<section><h2>Requests without an answer <small>oldest first</small></h2>
  ${f.unanswered.length ? html`<ul class="lines">${f.unanswered.slice(0, ROWS_MAX).map((/** @type {any} */ each) => html`<li>
    <b>${person(app, each.to)}</b><a class="cut" dir="auto" href="/ui/m/${encodeURIComponent(each.id)}">${firstLine(each.text)}</a>
    <span class="quiet">${age(Math.max(0, app.state.now - each.at)) || 'now'}</span></li>`)}</ul>
    ${f.unanswered.length > ROWS_MAX ? html`<a class="more" href="/ui/search?q=is%3Aunanswered">All requests without an answer</a>` : nothing}`
  : html`<p class="quiet">Every request has an answer.</p>`}</section>`;

/**
 * A table of names with bars.
 * @param {string} title
 * @param {any[]} rows
 * @param {(row: any) => unknown} name
 * @param {(row: any) => number} value
 * @param {string} empty
 */
function barred(title, rows, name, value, empty) {
  const most = Math.max(1, ...rows.map(value));
  return html`<section><h2>${title}</h2>${rows.length ? html`<table class="grid barred"><tbody>${rows.slice(0, ROWS_MAX).map((row) => html`<tr>
    <th scope="row">${name(row)}</th><td class="wide">${bar(value(row), most)}</td><td>${number(value(row))}</td></tr>`)}</tbody></table>`
  : html`<p class="quiet">${empty}</p>`}</section>`;
}

/** @param {App} app @param {any} f */
function pairs(app, f) {
  const rows = f.pairs.slice(0, ROWS_MAX);
  const most = Math.max(1, ...rows.map((/** @type {any} */ each) => each.forth + each.back));
  return html`<section><h2>Who works with whom</h2>${rows.length ? html`<table class="grid barred"><thead><tr><td></td><td class="wide"></td>
    <th scope="col">there</th><th scope="col">back</th><th scope="col">answers in</th></tr></thead><tbody>${rows.map((/** @type {any} */ each) => html`<tr>
    <th scope="row"><a href="/ui/c/${encodeURIComponent(each.first)}/${encodeURIComponent(each.second)}">${person(app, each.first)}${icon('both')}${person(app, each.second)}</a></th>
    <td class="wide">${bar(each.forth + each.back, most)}</td><td>${number(each.forth)}</td><td>${number(each.back)}</td>
    <td class="quiet">${span(each.meanAnswerMs) || '–'}</td></tr>`)}</tbody></table>` : html`<p class="quiet">No two sessions wrote to each other.</p>`}</section>`;
}

/** @param {App} app @param {any} f */
const refusals = (app, f) => html`<section><h2>Refused</h2>${f.refusals.length ? html`<table class="grid"><tbody>${f.refusals.slice(0, ROWS_MAX).map((/** @type {any} */ each) => html`<tr>
  <th scope="row"><code>${each.name}</code></th><td class="left">${each.from ? person(app, each.from) : nothing}${each.from && each.to ? ' to ' : nothing}${each.to ? person(app, each.to) : nothing}</td>
  <td>${number(each.count)}</td></tr>`)}</tbody></table>` : html`<p class="quiet">Nothing was refused.</p>`}</section>`;

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
    return html`<div class="scroll sheet" tabindex="0" role="region" aria-label="Stats">${seen.error ? html`<p class="refusal" role="alert">${refusalWords(seen.error)}</p>` : nothing}
      ${f ? html`${sums(f)}${f.volume.sent ? html`<div class="halves">${volumes(app, f)}${durations(f)}${unanswered(app, f)}
        ${barred('Routes', f.routes, (each) => html`${person(app, each.from)}${icon('arrow')}${person(app, each.to)}`, (each) => each.deliveries, 'No route yet.')}
        ${barred('How mail reached agents', f.via, way, (each) => each.count, 'No mail was delivered.')}${pairs(app, f)}${refusals(app, f)}</div>`
    : html`<p class="empty">No mail in this time.</p>`}
      ${f.index.upTo < f.index.head ? html`<p class="quiet">The index is ${number(f.index.head - f.index.upTo)} records behind; the figures follow.</p>` : nothing}` : nothing}</div>`;
  },
};
