// Sidebar: the places, who waits, the sessions, the groups, and the foot. On a small screen it is a page of its own.
// @ts-check
/** @import { App, SessionEntry, Wait } from "./types.js" */
import { html, nothing } from "./vendor/lit-html/lit-html.js";
import { live } from "./vendor/lit-html/directives/live.js";
import { repeat } from "./vendor/lit-html/directives/repeat.js";
import { icon } from "./icons.js";
import { roster } from "./roster.js";
import { path } from "./router.js";
import { toggleTheme } from "./theme.js";
import { age, clock } from "./words.js";

const SILENT_MS = 900_000;
const WAIT_WORDS = { permission: "permission", question: "question", mail: "asks by mail" };

/**
 * What a session does, in a word, with the age of its last sign.
 * @param {SessionEntry} entry
 * @param {number} now
 */
export function stateWords({ session, shown }, now) {
  const { state, since = 0 } = shown;
  const old = age(now - (state === "unknown" ? since || session.lastActivity : since));
  if (state === "watching" || state === "ended") return state;
  if (state === "unknown") return `no sign ${old}`.trim();
  if (state === "working" && now - since >= SILENT_MS) return `silent ${old}`;
  return `${state} ${old}`.trim();
}

/**
 * @param {App} app
 * @param {string} href
 * @param {string} name The name of an icon.
 * @param {string} text
 * @param {unknown} [more]
 */
function place(app, href, name, text, more = nothing) {
  const isHere = app.state.route.path === href;
  return html`<li><a class="place" href=${href} aria-current=${isHere ? "page" : nothing}>
    ${icon(name)}<span class="grow">${text}</span>${more}</a></li>`;
}

/**
 * @param {number} number
 * @param {string} what What is counted, for screen readers.
 * @param {string} kind
 */
const badge = (number, what, kind) =>
  number ? html`<span class="count ${kind}">${number}<span class="hidden"> ${what}</span></span>` : nothing;

/** @param {App} app */
export function places(app) {
  return html`<ul>
    ${place(app, "/ui/", "all", "All")}
    ${place(app, "/ui/inbox", "inbox", "Your inbox", badge(app.state.inboxUnread, "not read", "own"))}
    ${place(app, "/ui/threads", "thread", "Threads")}
  </ul>`;
}

/** @param {App} app @param {Wait} wait */
function waiting(app, { kind, session, since, detail, message }) {
  const href = message ? path("m", message.id) : path("s", session);
  return html`<li><a class="wait" href=${href} data-wait>
    ${icon(message ? "inbox" : "waiting")}
    <span class="line"><b><bdi>${app.nameOf(session)}</bdi></b> <span class="what">${WAIT_WORDS[kind]}</span></span>
    <span class="old">${age(app.state.now - since)}</span>
    ${detail ? html`<span class="detail" dir="auto">${detail.slice(0, 200)}</span>` : nothing}
  </a></li>`;
}

/** @param {App} app @param {SessionEntry} entry */
function sessionRow(app, entry) {
  const { session, shown } = entry;
  const { state } = app;
  const href = path("s", session.id);
  const unseen = shown.unread ?? 0;
  const isFull = state.mailboxMax > 0 && unseen >= state.mailboxMax;
  return html`<li><a class="place session is-${shown.state}" href=${href}
    aria-current=${state.route.path === href ? "page" : nothing}>
    ${icon(shown.state)}<bdi class="grow">${app.nameOf(session.id)}</bdi>
    <span class="state">${stateWords(entry, state.now)}</span>
    <span class="unseen ${isFull ? "full" : ""}">${isFull ? "full" : unseen || ""}${
      unseen ? html`<span class="hidden"> ${isFull ? "mailbox" : "not shown yet"}</span>` : nothing}</span>
  </a></li>`;
}

/** Who waits, the sessions, and the groups. @param {App} app */
export function people(app) {
  const { state } = app;
  const at = state.link.state === "lost" ? `, at ${clock(state.link.since)}` : "";
  const sessions = roster(app);
  const groups = [...state.groups.values()].filter(({ projectId }) => !state.project || projectId === state.project);
  return html`
    ${state.waits.length ? html`<section class="waits"><h2 class="side-head">
      <span class="grow">Waiting for you${at}</span><span>${state.waits.length}</span></h2>
      <ul>${repeat(state.waits, ({ session, kind, message }) => `${session} ${kind} ${message?.id}`, (wait) => waiting(app, wait))}</ul>
    </section>` : nothing}
    <section><h2 class="side-head"><span class="grow">Sessions${state.waits.length ? "" : at}</span>${
      sessions.length ? html`<span class="light">unseen mail</span>` : nothing}</h2>
      ${sessions.length ? nothing : html`<p class="none">${state.ready ? "None yet" : ""}</p>`}
      <ul>${repeat(sessions, ({ session }) => session.id, (entry) => sessionRow(app, entry))}</ul>
    </section>
    ${groups.length ? html`<section><h2 class="side-head">Groups</h2><ul>${groups.map((group) =>
      place(app, path("g", group.name), "group", `@${group.name}`, badge(group.size, "members", "")))}</ul></section>` : nothing}`;
}

/** The project that the page shows, where there are several. @param {App} app */
export function projectChoice(app) {
  const { state } = app;
  const names = [...new Set([...state.sessions.values()].map(({ session }) => session.projectId))].sort();
  if (state.project && !names.includes(state.project)) names.push(state.project);
  if (names.length < 2) return html`<bdi class="project">${names[0] ?? ""}</bdi>`;
  const choose = (/** @type {Event} */ event) => {
    state.project = /** @type {HTMLSelectElement} */ (event.target).value;
    sessionStorage.setItem("maestro.project", state.project);
    app.emit("reset", {});
  };
  return html`<span class="project choice"><select aria-label="Project" .value=${live(state.project)} @change=${choose}>
    <option value="" ?selected=${!state.project}>all projects</option>
    ${names.map((name) => html`<option value=${name} ?selected=${name === state.project}>${name}</option>`)}
  </select>${icon("chevron-down")}</span>`;
}

/** @param {App} app */
export function lowPlaces(app) {
  const { health } = app.state;
  return html`${place(app, "/ui/stats", "stats", "Stats")}
    ${place(app, "/ui/health", "health", "Health", badge(health, "things need you", "attn"))}`;
}

/** @param {App} app */
export function linkWord({ state: { link } }) {
  const words = { live: "live", connecting: "connecting", lost: "not connected" };
  return html`<span class="link is-${link.state}">${icon(link.state === "lost" ? "away" : "live")}${words[link.state]}</span>`;
}

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
export function sidebar(app) {
  return html`<nav class="side" aria-label="Places and sessions">
    <div class="side-top"><a class="brand" href="/ui/">${icon("mark")}maestro</a>${projectChoice(app)}</div>
    <div class="side-middle ${app.state.link.state === "lost" ? "is-stale" : ""}">${places(app)}${people(app)}</div>
    <div class="side-foot"><ul class="pair">${lowPlaces(app)}</ul>
      <div class="foot-line">${linkWord(app)}<span class="grow"></span>${switches(app)}</div></div>
  </nav>`;
}

/** The tabs at the bottom of a small screen. @param {App} app */
export function tabs(app) {
  const { route, waits, inboxUnread } = app.state;
  const stopped = waits.filter(({ kind }) => kind !== "mail").length;
  /** @type {[string, string, string, string, unknown][]} */
  const table = [
    ["/ui/", "all", "all", "All", nothing],
    ["/ui/sessions", "sessions session group", "group", "Sessions", badge(stopped, "wait for you", "disc attn")],
    ["/ui/inbox", "inbox", "inbox", "Inbox", badge(inboxUnread, "not read", "disc own")],
    ["/ui/search", "search", "search", "Search", nothing],
    ["/ui/more", "more threads thread stats health", "more", "More", nothing],
  ];
  return html`<nav class="tabs" aria-label="Pages">${table.map(([href, views, name, text, more]) => html`
    <a href=${href} aria-current=${views.split(" ").includes(route.view) ? "page" : nothing}>
      <span class="tab-icon">${icon(name)}${more}</span>${text}</a>`)}</nav>`;
}

/** On a small screen All says in one line who waits. @param {App} app */
export function strip(app) {
  const { waits, route } = app.state;
  if (!waits.length || route.view !== "all") return nothing;
  const names = [...new Set(waits.map(({ session }) => app.nameOf(session)))].join(", ");
  return html`<a class="strip" href="/ui/sessions">${icon("waiting")}
    <span class="grow"><b>${waits.length === 1 ? "1 waits" : `${waits.length} wait`} for you:</b> ${names}</span>${icon("chevron-right")}</a>`;
}

