// health_view: a stand-in until the real module is there.
// @ts-check
import {html} from './vendor/lit-html/lit-html.js';
/** @import {View} from './types.js' */

/** @type {View} */
export const health = {
  title: () => 'Health',
  enter(app) {
    seen.timer = window.setInterval(() => load(app), AGAIN_MS);
    return load(app);
  },
  leave: () => clearInterval(seen.timer),
  header: (app) => html`<span class="quiet">${seen.at ? `checked ${clock(seen.at, {seconds: true})}` : ''}</span><button type="button" class="link" @click=${() => load(app)}>Check again</button>`,
  render(app) {
    const {status: s, error} = seen;
    const found = s ? needs(app) : [];
    return html`<div class="scroll sheet" tabindex="0" role="region" aria-label="Health">${error ? html`<p class="refusal" role="alert">${error.message} ${error.hint}</p>` : nothing}
      ${s ? html`<section class="needs"><h2>${found.length ? `${counted(found.length, 'thing')} ${found.length === 1 ? 'needs' : 'need'} you` : 'Nothing needs you'}</h2><ul class="checks">${found.map((each) => needed(app, each))}</ul></section>
        <div class="halves"><div>${checks(s)}<section><h2>Outbox <small>kept until the broker takes it</small></h2><p class="quiet">${s.outbox?.waiting ? `${counted(s.outbox.waiting, 'message')} ${s.outbox.waiting === 1 ? 'waits' : 'wait'}.` : 'Empty.'}</p></section></div>
          <div>${limits(app, s)}${unseen(app)}${dead(app)}</div></div>` : nothing}</div>`;
  },
};
