// search_view: a stand-in until the real module is there.
// @ts-check
import {html} from './vendor/lit-html/lit-html.js';
/** @import {View} from './types.js' */

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
    const found = ripe(app) !== seen.done || seen.error ? find(app) : undefined;
    if (!query) requestAnimationFrame(() => requestAnimationFrame(() => document.getElementById('search')?.focus()));
    return found;
  },
  leave: () => clearTimeout(seen.timer),
  header: (app) => html`${box(app)}<p class="quiet count" role="status">${seen.done && !seen.error && seen.hits.length ? `${counted(seen.total, 'message')}, ${seen.ms} ms, newest first` : ''}</p>`,
  render: (app) => html`<div class="scroll found">${results(app)}</div>`,
};
