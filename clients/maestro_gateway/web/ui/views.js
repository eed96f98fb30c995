// Views: the table of what an address shows. A new view gets a path in `router.js` and a row here.
// @ts-check
/** @import { Route, View } from "./types.js" */
import * as front from "./front_pages.js";
import * as lists from "./list_views.js";
import { conversation } from "./conversation.js";
import { health } from "./health_view.js";
import { message } from "./message_view.js";
import { search } from "./search_view.js";
import { stats } from "./stats_view.js";
import { thread, threads } from "./thread_views.js";

/** @type {Record<string, View>} */
const VIEWS = {
  all: lists.all, session: lists.session, group: lists.group, inbox: lists.inbox, conversation, thread, threads,
  message, search, stats, health, sessions: front.sessions, more: front.more, missing: front.missing,
};
const COMPOSES = new Set(["all", "session", "group", "inbox", "conversation", "thread"]);
const OTHER_BUTTONS = new Set(["conversation", "thread", "message"]);
const DEEP = new Set(["session", "group", "conversation", "thread", "message", "missing"]);

/** @param {Route} route */
export const viewOf = (route) => VIEWS[route.view];
/** Whether the composer has its line below the view. @param {Route} route */
export const composes = (route) => COMPOSES.has(route.view);
/** Whether the header has Write. @param {Route} route */
export const writes = (route) => !OTHER_BUTTONS.has(route.view);
/** Whether a tab or the sidebar leads to the view; another view has a way back. @param {Route} route */
export const isTop = (route) => !DEEP.has(route.view);
