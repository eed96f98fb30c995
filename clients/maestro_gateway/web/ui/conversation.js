// Conversation: a stand-in until the real module is there.
// @ts-check
import {html} from './vendor/lit-html/lit-html.js';
/** @import {View} from './types.js' */

/** @type {View} */
export const conversation = {title: () => 'conversation', enter: () => {}, leave: () => {}, render: () => html`<div class="scroll"><p>This page is not there yet.</p></div>`};
