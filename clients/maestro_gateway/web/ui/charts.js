// Charts: bars and strips as SVG. Positions along the width are in percent, all else is in pixels: so each chart is drawn
// at the width that it really has, and its letters keep their size.
// @ts-check
import {html, nothing, svg} from './vendor/lit-html/lit-html.js';
import {delay, refusalWords} from './words.js';

const HIGH = 120;
const HEAD = 8;
const STEPS = [1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10];
const SECOND = 1000;
const HOUR = 3600 * SECOND;
const TICKS = [100, SECOND, 10 * SECOND, 60 * SECOND, 600 * SECOND, HOUR, 6 * HOUR, 24 * HOUR, 168 * HOUR];

/**
 * A length of time in its first unit, such as `0.3 s` or `13 m`.
 * @param {number|null|undefined} ms
 */
export const span = (ms) => (ms === undefined || ms === null ? '' : /^(< )?\S+ \S+/.exec(delay(ms))?.[0] ?? '');

/**
 * Half of the top of an axis: a round number, so that twice it is not under `most`.
 * @param {number} most
 */
function half(most) {
  const size = 10 ** Math.floor(Math.log10(Math.max(1, most / 2)));
  return STEPS.map((each) => each * size).find((each) => Number.isInteger(each) && 2 * each >= most) ?? 10 * size;
}

/**
 * The volume: for each entry what was sent, before the copies that it made.
 * @param {{at: number, sent: number, deliveries: number}[]} series
 * @param {(at: number) => string} label
 * @param {string} name What a screen reader says.
 */
export function bars(series, label, name) {
  const step = half(Math.max(1, ...series.map((each) => each.deliveries)));
  const wide = 100 / Math.max(1, series.length);
  const every = Math.ceil(series.length / 8);
  /** @param {number} value */
  const high = (value) => (HIGH * value) / (2 * step);
  /** @param {number} index @param {number} value @param {string} kind */
  const bar = (index, value, kind) => svg`<rect class=${kind} x="${wide * (index + 0.14)}%" width="${wide * 0.72}%"
    y=${HEAD + HIGH - high(value)} height=${high(value)}></rect>`;
  return html`<svg class="bars" width="100%" height=${HEAD + HIGH + 24} role="img" aria-label=${name}>
    ${[2 * step, step, 0].map((value) => svg`<line class="grid" x1="0" x2="100%" y1=${HEAD + HIGH - high(value)}
      y2=${HEAD + HIGH - high(value)}></line><text class="axis" x="-8" dy="0.35em" y=${HEAD + HIGH - high(value)}
      text-anchor="end">${number(value)}</text>`)}
    ${series.map((each, index) => svg`<g><title>${label(each.at)}: ${each.sent} sent, ${each.deliveries} delivered</title>
      ${bar(index, each.deliveries, 'copies')}${bar(index, each.sent, 'sent')}</g>`)}
    ${series.map((each, index) => (index % every ? nothing : svg`<text class="axis" x="${wide * (index + 0.5)}%"
      y=${HEAD + HIGH + 16} text-anchor="middle">${label(each.at)}</text>`))}</svg>`;
}

/** @param {number} ms @param {number} end */
const along = (ms, end) => Math.min(100, Math.max(0, (100 * Math.log(ms / 100)) / Math.log(end / 100)));

/**
 * The end of the logarithmic axis that holds these times.
 * @param {(number|undefined)[]} times
 */
export const axisEnd = (times) => Math.max(HOUR, ...times.map((each) => each ?? 0));

/** The ticks that have room for their letters. @param {number} end */
const ticks = (end) => [...TICKS.filter((each) => along(each, end) < 84), end];

/** @param {number} end */
export const axis = (end) => html`<svg class="delays" width="100%" height="16" aria-hidden="true">${ticks(end).map((each, index, all) => svg`<text
  class="axis ${index < all.length - 1 && (index % 2 || along(each, end) > 75) ? 'mid' : ''}" x="${along(each, end)}%" y="12"
  text-anchor="middle">${span(each)}</text>`)}</svg>`;

/**
 * Three percentiles on that axis: a dot, a tick and a ring. The numbers stand beside it.
 * @param {{p50Ms?: number, p90Ms?: number, maxMs?: number}} times
 * @param {number} end
 */
export function strip({p50Ms, p90Ms, maxMs}, end) {
  if (p50Ms === undefined) return nothing;
  const [dot, tick, ring] = [p50Ms, p90Ms ?? p50Ms, maxMs ?? p50Ms].map((each) => `${along(each, end)}%`);
  return html`<svg class="delays" width="100%" height="20" aria-hidden="true">
    <line class="line" x1=${dot} x2=${ring} y1="10" y2="10"></line><line class="line" x1=${tick} x2=${tick} y1="5" y2="15"></line>
    <circle class="ring" cx=${ring} cy="10" r="3"></circle><circle class="dot" cx=${dot} cy="10" r="4"></circle></svg>`;
}

/**
 * A bar beside its number.
 * @param {number} value
 * @param {number} most The value of a full bar.
 * @param {string} [kind] A class: `used` for a part of a limit, with its ground.
 */
export const bar = (value, most, kind = '') => html`<svg class="meter ${kind}" width="100%" height="8" aria-hidden="true">
  ${kind ? svg`<rect class="ground" width="100%" height="8"></rect>` : nothing}<rect class="value" height="8"
  width="${Math.min(100, value && Math.max(1, (100 * value) / Math.max(1, most)))}%"></rect></svg>`;

/** A number with its thousands apart. @param {number} count */
export const number = (count) => count.toLocaleString('en');

/**
 * A section of a sheet: its rows as a table, or the words for none.
 * @param {unknown} title
 * @param {unknown[]} rows
 * @param {{empty?: string, head?: unknown, kind?: string}} [how]
 */
export const tableOf = (title, rows, {empty = '', head = nothing, kind = 'barred'} = {}) => html`<section><h2>${title}</h2>${rows.length
  ? html`<table class="grid ${kind}">${head}<tbody>${rows}</tbody></table>` : html`<p class="quiet">${empty}</p>`}</section>`;

/** The same as lines. @param {unknown} title @param {unknown[]} rows @param {string} empty @param {string} [kind] */
export const linesOf = (title, rows, empty, kind = '') => html`<section><h2>${title}</h2>${rows.length
  ? html`<ul class="lines ${kind}">${rows}</ul>` : html`<p class="quiet">${empty}</p>`}</section>`;

/** A sheet of sections, below the error if there was one. @param {string} name @param {any} error @param {unknown} content */
export const sheet = (name, error, content) => html`<div class="scroll sheet" tabindex="0" role="region" aria-label=${name}>${error
  ? html`<p class="refusal" role="alert">${refusalWords(error)}</p>` : nothing}${content}</div>`;
