// Message view: a stand-in until the real module is there.
// @ts-check
import {html} from './vendor/lit-html/lit-html.js';
/** @import {View} from './types.js' */

/** @type {View} */
export const message = {title: () => 'message', enter: () => {}, leave: () => {}, render: () => html`<div class="scroll"><p>This page is not there yet.</p></div>`};
/** @param {import('./types.js').App} _app @param {string} id */
export const pane = (_app, id) => html`<p>${id}</p>`;
