/* Shell: the frame around every view: sidebar, header, the view, composer, and the bars. */
/** @import {App, Route, View} from './types.js' */
import {html} from './vendor/lit-html/lit-html.js';
import * as lists from './list_views.js';
import {conversation} from './conversation.js';
import {thread, threads} from './thread_views.js';
import {message} from './message_view.js';
import {search} from './search_view.js';
import {stats} from './stats_view.js';
import {health} from './health_view.js';
import {composer} from './composer.js';

/** @type {View} */
const missing = {
  title: () => 'No such page',
  enter: () => {},
  leave: () => {},
  render: () => html`<div class="scroll page"><p>This address is no page. <a href="/ui/">All mail</a></p></div>`,
};

/** @type {Record<string, View>} */
const VIEWS = {
  all: lists.all, session: lists.session, group: lists.group, inbox: lists.inbox,
  conversation, thread, threads, message, search, stats, health, missing,
};

/** @param {Route} route */
export const viewOf = (route) => VIEWS[route.view] ?? missing;

/** @param {App} app */
export function shell(app) {
  const view = viewOf(app.state.route);
  return html`<div class="layout"><main class="main" id="main" tabindex="-1">
    <header class="head"><h1>${view.title(app)}</h1>${view.header?.(app)}</header>
    <div class="view">${view.render(app)}</div>${composer(app)}</main></div>`;
}
