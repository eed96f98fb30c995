// stats_view: a stand-in until the real module is there.
// @ts-check
import {html} from './vendor/lit-html/lit-html.js';
/** @import {View} from './types.js' */

/** @type {View} */
export const stats = {
  title: () => 'Stats',
  enter(app) {
    seen.timer = window.setInterval(() => load(app), AGAIN_MS);
    return load(app);
  },
  leave() {
    clearInterval(seen.timer);
    seen.asked += 1;
  },
  header: (app) => html`<nav class="periods" aria-label="The time of the figures">${Object.entries(TIMES).map(([name, each]) => html`<a
    href="/ui/stats?t=${name}" aria-current=${each === chosen(app.state.route) ? 'true' : nothing}>${each.words}</a>`)}</nav>`,
  render(app) {
    const f = seen.figures;
    return html`<div class="scroll sheet" tabindex="0" role="region" aria-label="Stats">
      ${seen.error ? html`<p class="refusal" role="alert">${seen.error.message} ${seen.error.hint}</p>` : nothing}
      ${f ? html`${sums(f)}${f.volume.sent ? html`<div class="halves">${volume(app, f)}${durations(f)}${unanswered(app, f)}
        ${barred('Routes', f.routes, (each) => html`${person(app, each.from)}${icon('arrow')}${person(app, each.to)}`, (each) => each.deliveries, 'No route yet.')}
        ${barred('How mail reached agents', f.via, way, (each) => each.count, 'No mail was delivered.')}${pairs(app, f)}${refusals(app, f)}</div>`
    : html`<p class="empty">No mail in this time.</p>`}
      ${f.index.upTo < f.index.head ? html`<p class="quiet">The index is ${number(f.index.head - f.index.upTo)} records behind; the figures follow.</p>` : nothing}` : nothing}</div>`;
  },
};
