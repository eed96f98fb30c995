// Composer: a stand-in until the real one is there.
// @ts-check
/** @import { App } from "./types.js" */
import { html } from "./vendor/lit-html/lit-html.js";

/** @param {App} app */
export const composer = (app) => (app.state.compose ? html`<p>This part is not there yet.</p>` : null);
