// List views: a stand-in until the real module is there.
// @ts-check
import {html} from './vendor/lit-html/lit-html.js';
/** @import {View} from './types.js' */

/** @type {View} */
export const all = {title: () => 'all', enter: () => {}, leave: () => {}, render: () => html`<div class="scroll"><p>This page is not there yet.</p></div>`};
/** @type {View} */
export const session = {title: () => 'session', enter: () => {}, leave: () => {}, render: () => html`<div class="scroll"><p>This page is not there yet.</p></div>`};
/** @type {View} */
export const group = {title: () => 'group', enter: () => {}, leave: () => {}, render: () => html`<div class="scroll"><p>This page is not there yet.</p></div>`};
/** @type {View} */
export const inbox = {title: () => 'inbox', enter: () => {}, leave: () => {}, render: () => html`<div class="scroll"><p>This page is not there yet.</p></div>`};
