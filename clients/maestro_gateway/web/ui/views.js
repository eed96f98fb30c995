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
/** Below these the composer has its line. */
const COMPOSES = new Set(["all", "session", "group", "inbox", "conversation", "thread"]);
/** These have other buttons in their header. */
const NO_WRITE = new Set(["conversation", "thread", "message"]);

/** @param {Route} route */
export const viewOf = (route) => VIEWS[route.view] ?? front.missing;

/** @param {Route} route */
export const composes = (route) => COMPOSES.has(route.view);

/** @param {Route} route */
export const writes = (route) => !NO_WRITE.has(route.view);
