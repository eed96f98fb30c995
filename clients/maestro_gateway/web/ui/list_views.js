// List views: All, one session, a group, and the person's inbox: one kind of list with different filters.
// @ts-check
/** @import { App, Message, Row, View } from "./types.js" */
/** @import { Line } from "./feed.js" */
import { html, nothing } from "./vendor/lit-html/lit-html.js";
import { ref } from "./vendor/lit-html/directives/ref.js";
import { repeat } from "./vendor/lit-html/directives/repeat.js";
import { Feed } from "./feed.js";
import { command, firstRun } from "./front_pages.js";
import { icon } from "./icons.js";
import { idOf, inProject } from "./roster.js";
import { path } from "./router.js";
import { messageRow, party, stateLine, stateOf, toggle } from "./rows.js";
import { age, clock, counted, dayHeading, dayOf, delay, fullStop } from "./words.js";

const OPERATOR = "operator";
let filter = "mail and states";
/** @type {Feed} */
let feed;

/** What every list has. @type {{leave: () => void, keys: NonNullable<View['keys']>}} */
export const LIST = {
  leave: () => feed.close(),
  keys: {
    o: (app) => feed.chosen && toggle(app, feed, feed.chosen.id), End: () => feed.end(),
    r: (app) => feed.chosen && app.compose({to: [feed.chosen.from], replyTo: feed.chosen}),
    t: (app) => feed.chosen && app.go(path("t", feed.chosen.id)),
  },
};

/** @param {App} app @param {import('./types.js').Query} query @param {(message: Message) => boolean} fits */
export const begin = (app, query, fits) => {
  feed = new Feed(app, query, fits);
  feed.hold(box);
  return feed.load();
};
export const currentFeed = () => feed;

/** @param {unknown} error */
export const failure = (error) => {
  const {message, hint} = /** @type {import('./types.js').ApiError} */ (error);
  return html`<p class="failure" role="alert"><b>${fullStop(message)}</b> ${hint}</p>`;
};

/**
 * The list with what stands around it.
 * @param {App} app
 * @param {Feed} shown
 * @param {{empty: unknown, before?: unknown, own?: boolean, shows?: (line: Line) => boolean, mark?: {first?: Row, words: string, action?: unknown} | null,
 *   draw?: (row: Row, previous: Row | undefined) => unknown, name: string}} how
 */
export function listOf(app, shown, {empty, before = nothing, own = false, shows = () => false, mark = null, draw, name}) {
  const items = shown.items(shows), lost = shown.mark ? shown.rows.find((row) => row.lsn > shown.mark) : undefined;
  const line = mark?.first ? mark : lost ? {first: lost, words: "new"} : null;
  let minute = "", day = 0;
  /** @type {Row | undefined} */
  let previous;
  const entry = (/** @type {Row | Line} */ item) => {
    const at = "message" in item ? item.message.createdAt : item.at, today = dayOf(at), isNewDay = today !== day, begins = item === line?.first;
    const heading = isNewDay ? html`<li class="day"><span>${dayHeading(at, app.state.now)}</span></li>` : nothing;
    const fresh = begins ? html`<li class="day mark"><span>${line?.words}</span>${line?.action ?? nothing}</li>` : nothing, time = clock(at), repeats = time === minute && !isNewDay && !begins;
    [minute, day] = [time, today];
    const drawn = !("message" in item) ? stateLine(app, item, repeats) : draw ? draw(item, isNewDay || begins ? undefined : previous) : messageRow(app, shown, item, {repeats, own});
    previous = "message" in item ? item : undefined;
    return html`${heading}${fresh}${drawn}`;
  };
  return html`<div class="scroll list${draw ? " script" : ""}" @scroll=${() => shown.scrolled()} ${ref(hold)}><div class="content">${before}
    ${shown.error ? failure(shown.error) : !shown.loaded ? nothing : shown.rows.length ? html`<ol class="rows" aria-label=${name}>${
      shown.hasOlder ? html`<li class="older"><button type="button" class="as-link" @click=${() => shown.older()}>Older messages</button></li>` : nothing}${
      repeat(items, (item) => ("message" in item ? item.message.id : item.key), entry)}</ol>` : html`<div class="empty">${empty}</div>`}</div></div>
    ${shown.below.count ? html`<button type="button" class="below" @click=${() => shown.end()}>${icon("chevron-down")}<b>${shown.below.count.toLocaleString("en-US")} new below</b>
      <span class="low">${[...shown.below.names].slice(0, 5).join(", ")}</span><kbd>End</kbd></button>` : nothing}`;
}
/** The element that scrolls stays when the list changes. @type {Element | undefined} */
let box;
const hold = (/** @type {Element | undefined} */ element) => {
  box = element;
  feed.hold(box);
};

const nothingSent = (/** @type {App} */ app) => app.state.sessions.size === 0 ? firstRun(app)
  : html`<p>Nothing was sent yet. Try:</p>${command(app, `maestro send --to ${[...app.state.sessions.values()].find(({session}) => session.role !== "orchestrator")?.session.name ?? "ann"} --message "Hello"`)}`;

/** @type {View} */
export const all = {
  ...LIST,
  title: () => "All",
  enter: (app) => begin(app, {}, ({from, to}) => inProject(app, from) || inProject(app, to)),
  header: (app) => html`<label class="filter"><span class="hidden">Show</span><select @change=${(/** @type {Event} */ event) => {
    filter = /** @type {HTMLSelectElement} */ (event.target).value;
    app.update();
  }}>${["mail and states", "mail"].map((name) => html`<option ?selected=${name === filter}>${name}</option>`)}</select>${icon("chevron-down")}</label>`,
  render: (app) => listOf(app, feed, {name: "All mail", empty: nothingSent(app), shows: (line) => filter !== "mail" && inProject(app, line.id)}),
};

/** How fast a session answers, by what the list has. @param {string} id */
function answersIn(id) {
  const times = feed.rows.flatMap(({message}) => feed.answers.get(message.id)?.get(id) ? [(feed.answers.get(message.id)?.get(id) ?? 0) - message.createdAt] : []).sort((one, other) => one - other);
  return times.length ? `${delay(times[times.length >> 1])} (half of them)` : "";
}

/** @param {App} app */
const sessionOf = (app) => idOf(app, app.state.route.params[0]);

/** @param {App} app */
function facts(app) {
  const entry = app.state.sessions.get(sessionOf(app));
  if (!entry) return nothing;
  const {session, presence} = entry, parent = session.parentSessionId;
  const pairs = /** @type {[string, unknown][]} */ ([["Role", html`${session.role}${parent ? html` of ${party(app, parent)}` : nothing}, <bdi>${session.projectId}</bdi>`],
    ["Agent", session.agent], ["Process", session.pid && html`<code>${session.pid}</code>`], ["Last sign", presence.since && `${presence.by ?? ""}, ${age(app.state.now - presence.since) || "under a minute"} ago`],
    ["Waits for", presence.state === "waiting" && html`<bdi>${presence.detail}</bdi>`], ["Answers in", answersIn(session.id)], ["Folder", session.cwd && html`<code><bdi>${session.cwd}</bdi></code>`]]);
  return html`<dl class="facts">${pairs.filter(([, value]) => value).map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

/** @type {View} */
export const session = {
  ...LIST,
  title: (app) => app.nameOf(sessionOf(app)),
  enter: (app) => begin(app, {session: sessionOf(app), project: undefined}, ({from, to}) => [from, to].includes(sessionOf(app))),
  header: (app) => stateOf(app, sessionOf(app)),
  render: (app) => {
    const id = sessionOf(app), name = app.nameOf(id), unseen = feed.rows.filter(({message}) => message.to === id && message.status === "pending");
    return listOf(app, feed, {name: `Mail of ${name}`, before: facts(app), shows: (line) => filter !== "mail" && line.id === id,
      empty: html`<p>${name} has no mail yet. Try:</p>${command(app, `maestro send --to ${name} --message "Hello"`)}`,
      mark: unseen.length ? {first: unseen[0], words: `${unseen.length} not shown to ${name} yet`} : null});
  },
};

/** @type {View} */
export const group = {
  ...LIST,
  title: (app) => `@${app.state.route.params[0]}`,
  enter: (app, route) => begin(app, {with: `@${route.params[0]}`, project: undefined}, ({audience}) => audience?.to.includes(`@${route.params[0]}`) ?? false),
  header: (app) => html`<span class="low">${counted(app.state.groups.get(app.state.route.params[0])?.size ?? 0, "member")}</span>`,
  render: (app) => {
    const [name] = app.state.route.params, members = app.state.groups.get(name)?.members ?? [];
    return listOf(app, feed, {name: `Mail to @${name}`, empty: html`<p>Nothing was sent to this group yet. Try:</p>${command(app, `maestro send --to @${name} --message "Hello"`)}`,
      before: members.length ? html`<p class="facts members">${members.map(({session: id}) => html`<span>${party(app, id)} ${stateOf(app, id)}</span>`)}</p>` : nothing});
  },
};

const unread = () => feed.rows.filter(({message}) => message.to === OPERATOR && ["pending", "delivered"].includes(message.status));
/** @param {App} app */
const unanswered = (app) => app.state.waits.filter(({kind}) => kind === "mail").length;

/** The person's own reading marks the person's own mail, and no other. @param {App} app @param {string} id */
export const markRead = (app, id) => app.state.rights === "view" ? Promise.resolve() : app.api.patch(`/api/messages/${encodeURIComponent(id)}`, {status: "read"}).catch(() => null);
let seen = "";

/** @type {View} */
export const inbox = {
  ...LIST,
  title: () => "Your inbox",
  enter: (app) => {
    seen = "";
    return begin(app, {session: OPERATOR, project: undefined}, ({from, to}) => [from, to].includes(OPERATOR));
  },
  header: (app) => {
    const count = unread().length, waits = unanswered(app);
    return html`<span class="low">${[`${count} not read`, waits ? `${waits} ${waits === 1 ? "waits" : "wait"} for an answer` : ""].filter(Boolean).join(", ")}</span>`;
  },
  render: (app) => {
    const first = unread()[0];
    if (feed.loaded) seen ||= first?.message.id ?? "-";
    const from = feed.byId.get(seen);
    return listOf(app, feed, {name: "Your inbox", own: true, empty: html`<p>No agent has written to you. Agents write with <code>--to operator</code>.</p>`,
      mark: from && first ? {first: from, words: `${unread().length} new`, action: app.state.rights === "view" ? nothing
        : html`<button type="button" class="as-link" @click=${() => unread().map(({message}) => markRead(app, message.id))}>Mark all as read</button>`} : null});
  },
};
