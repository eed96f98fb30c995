// Sidebar: the places, who waits, the sessions, the groups, and the foot. On a small screen it is a page of its own.
// @ts-check
/** @import { App, SessionEntry, Wait } from "./types.js" */
import { html, nothing } from "./vendor/lit-html/lit-html.js";
import { live } from "./vendor/lit-html/directives/live.js";
import { repeat } from "./vendor/lit-html/directives/repeat.js";
import { icon } from "./icons.js";
import { firstLine } from "./markdown.js";
import { count, roster } from "./roster.js";
import { path } from "./router.js";
import { toggleTheme } from "./theme.js";
import { age, clock } from "./words.js";

const SILENT_MS = 900_000;
const WAIT_WORDS = { permission: "permission", question: "question", mail: "asks by mail" };
const LINK_WORDS = { live: "live", connecting: "connecting", lost: "not connected" };

/** What a session does, in a word, with the age of its last sign. @param {SessionEntry} entry @param {number} now */
export function stateWords({ session, shown: { state, since = 0 } }, now) {
  if (state === "watching" || state === "ended") return state;
  const word = state === "unknown" ? "no sign" : state === "working" && now - since >= SILENT_MS ? "silent" : state;
  return `${word} ${age(now - (since || session.lastActivity))}`.trim();
}

/** @param {App} app */
export const staleness = (app) => (app.state.link.state === "lost" ? "is-stale" : "");

/** @param {App} app @param {string} href @param {string} image The name of an icon. @param {string} text @param {unknown} [more] */
const place = (app, href, image, text, more = nothing) => html`<li><a class="place" href=${href}
  aria-current=${app.state.route.path === href ? "page" : nothing}>${icon(image)}<span class="grow">${text}</span>${more}</a></li>`;

/** @param {number} number @param {string} what What is counted, for screen readers. @param {string} kind */
const badge = (number, what, kind) => (number ? html`<span class="count ${kind}">${number}<span class="hidden"> ${what}</span></span>` : nothing);

/** @param {App} app */
export const places = (app) => html`<ul>${place(app, "/ui/", "all", "All")}
  ${place(app, "/ui/inbox", "inbox", "Your inbox", badge(app.state.inboxUnread, "not read", "own"))}
  ${place(app, "/ui/threads", "thread", "Threads")}</ul>`;

/** @param {App} app */
export const lowPlaces = (app) => html`${place(app, "/ui/stats", "stats", "Stats")}
  ${place(app, "/ui/health", "health", "Health", badge(app.state.health, "things need you", "attn"))}`;

/** @param {App} app @param {Wait} wait */
const waiting = (app, { kind, session, since, detail, message }) => html`<li><a class="wait"
  href=${message ? path("m", message.id) : path("s", session)}>${icon(message ? "inbox" : "waiting")}
  <span class="line"><b><bdi>${app.nameOf(session)}</bdi></b> <span class="what">${WAIT_WORDS[kind]}</span></span>
  <span class="old">${age(app.state.now - since)}</span>
  ${detail ? html`<span class="detail" dir="auto">${firstLine(detail, 90)}</span>` : nothing}</a></li>`;

/** @param {App} app @param {SessionEntry} entry */
function sessionRow({ state, nameOf }, entry) {
  const { session: { id }, shown: { state: now, unread = 0 } } = entry;
  const isFull = state.mailboxMax > 0 && unread >= state.mailboxMax;
  const hint = unread ? html`<span class="hidden"> ${isFull ? "mailbox" : "not shown yet"}</span>` : nothing;
  return html`<li><a class="place session is-${now}" href=${path("s", id)} aria-current=${state.route.path === path("s", id) ? "page" : nothing}>
    ${icon(now)}<bdi class="grow">${nameOf(id)}</bdi> <span class="state">${stateWords(entry, state.now)}</span>
    <span class="unseen ${isFull ? "full" : ""}">${isFull ? "full" : unread || ""}${hint}</span></a></li>`;
}

/** Who waits, the sessions, and the groups. @param {App} app */
export function people(app) {
  const { waits, link, groups: all, project, ready } = app.state;
  const at = link.state === "lost" ? `, at ${clock(link.since)}` : "";
  const sessions = roster(app);
  const groups = [...all.values()].filter(({ projectId }) => !project || projectId === project);
  return html`
    ${waits.length ? html`<section class="waits"><h2 class="side-head"><span class="grow">Waiting for you${at}</span><span>${waits.length}</span></h2>
      <ul>${repeat(waits, ({ session, kind, message }) => `${session} ${kind} ${message?.id}`, (wait) => waiting(app, wait))}</ul></section>` : nothing}
    <section><h2 class="side-head"><span class="grow">Sessions${waits.length ? "" : at}</span>${
      sessions.length ? html`<span class="light">unseen mail</span>` : nothing}</h2>
      ${sessions.length || !ready || at ? nothing : html`<p class="none">None yet</p>`}
      <ul>${repeat(sessions, ({ session }) => session.id, (entry) => sessionRow(app, entry))}</ul></section>
    ${groups.length ? html`<section><h2 class="side-head">Groups</h2><ul>${groups.map(({ name, size }) =>
      place(app, path("g", name), "group", `@${name}`, badge(size, "members", "")))}</ul></section>` : nothing}`;
}

/** The project that the page shows, where there are several. @param {App} app */
export function projectChoice(app) {
  const { state } = app;
  const names = [...new Set([...state.sessions.values()].map(({ session }) => session.projectId).concat(state.project || []))].sort();
  if (names.length < 2) return html`<bdi class="project">${names[0] ?? ""}</bdi>`;
  const choose = (/** @type {Event} */ event) => {
    state.project = /** @type {HTMLSelectElement} */ (event.target).value;
    sessionStorage.setItem("maestro.project", state.project);
    count(app);
    app.emit("reset", {});
  };
  return html`<span class="project choice"><select aria-label="Project" .value=${live(state.project)} @change=${choose}>
    <option value="" ?selected=${!state.project}>all projects</option>
    ${names.map((name) => html`<option value=${name} ?selected=${name === state.project}>${name}</option>`)}
  </select>${icon("chevron-down")}</span>`;
}

/** @param {App} app */
export const linkWord = ({ state: { link } }) =>
  html`<span class="net is-${link.state}">${icon(link.state === "lost" ? "away" : "live")}${LINK_WORDS[link.state]}</span>`;

/** @param {App} app */
export function switches(app) {
  const keys = () => {
    app.state.keysShown = true;
    app.update();
  };
  return html`<button class="tool" title="Light or dark" aria-label="Light or dark" @click=${toggleTheme}>${icon("theme")}</button>
    <button class="tool" title="Keys and settings (?)" aria-label="Keys and settings" @click=${keys}>${icon("keys")}</button>`;
}

/** @param {App} app */
export const sidebar = (app) => html`<nav class="side" aria-label="Places and sessions">
  <div class="side-top"><a class="brand" href="/ui/">${icon("mark")}maestro</a>${projectChoice(app)}</div>
  <div class="side-middle ${staleness(app)}">${places(app)}${people(app)}</div>
  <div class="side-foot"><ul class="pair">${lowPlaces(app)}</ul>
    <div class="foot-line">${linkWord(app)}<span class="grow"></span>${switches(app)}</div></div></nav>`;

/** The tabs at the bottom of a small screen. @param {App} app */
export function tabs(app) {
  const { route, waits, inboxUnread } = app.state;
  const stopped = waits.filter(({ kind }) => kind !== "mail").length;
  /** @type {(href: string, views: string, image: string, text: string, more?: unknown) => unknown} */
  const tab = (href, views, image, text, more = nothing) => html`<a href=${href} aria-current=${views.split(" ").includes(route.view) ? "page" : nothing}>
    <span class="tab-icon">${icon(image)}${more}</span>${text}</a>`;
  return html`<nav class="tabs" aria-label="Pages">${tab("/ui/", "all", "all", "All")}
    ${tab("/ui/sessions", "sessions session group", "group", "Sessions", badge(stopped, "wait for you", "disc attn"))}
    ${tab("/ui/inbox", "inbox", "inbox", "Inbox", badge(inboxUnread, "not read", "disc own"))}
    ${tab("/ui/search", "search", "search", "Search")}${tab("/ui/more", "more threads thread stats health", "more", "More")}</nav>`;
}

/** On a small screen All says in one line who waits. @param {App} app */
export function strip({ state: { waits, route }, nameOf }) {
  if (!waits.length || route.view !== "all") return nothing;
  const names = [...new Set(waits.map(({ session }) => nameOf(session)))].join(", ");
  return html`<a class="strip" href="/ui/sessions">${icon("waiting")}
    <span class="grow"><b>${waits.length === 1 ? "1 waits" : `${waits.length} wait`} for you:</b> ${names}</span>${icon("chevron-right")}</a>`;
}
