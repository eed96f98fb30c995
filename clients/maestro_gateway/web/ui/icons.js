/* Icons: a stand-in until the real drawings are there. */
import {html} from './vendor/lit-html/lit-html.js';

/** @param {string} name */
export const icon = (name) => html`<svg class="icon" width="16" height="16" viewBox="0 0 16 16" aria-hidden="true"><title>${name}</title></svg>`;
