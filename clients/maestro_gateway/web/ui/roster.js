// Roster: the sessions, groups and waits of the state. It is read once, and then the events change it.
// @ts-check
/** @import { App, Message, Presence, Session, Wait } from "./types.js" */
import { needs } from "./health_view.js";
import { OPERATOR } from "./store.js";

const HOLD_MS = 2_000;
const REFRESH_MS = 1_000;
const OWN_MAX = 200;
// An ended session stays in its place for this time.
const ENDED_SHOWN_MS = 600_000;
const CALM = new Set(["working", "idle"]);

/** The operator's newest mail, both directions, by id. @type {Map<string, Message>} */
const own = new Map();
/** @type {Map<string, number>} */
const held = new Map();
let refreshTimer = 0;

/**
 * Read everything that the sidebar shows.
 * @param {App} app
 */
export async function load(app) {
  const { api, state } = app;
  const [sessions, groups, mail] = await Promise.all([
    api.all("/api/sessions", "", { active: true }),
    api.all("/api/groups", "", { members: true }),
    api.get("/api/messages", { session: OPERATOR, limit: OWN_MAX }),
    readPresence(app),
  ]);
  const active = new Set(sessions.map((/** @type {Session} */ session) => session.id));
  for (const id of state.sessions.keys()) if (!active.has(id)) state.sessions.delete(id);
  for (const session of sessions) putSession(app, session);
  state.groups.clear();
  for (const group of groups) state.groups.set(group.name, group);
  for (const { message } of mail.messages) own.set(message.id, message);
  await readPresence(app);
  count(app);
}

/**
 * What each session does now, and how much mail waits for it.
 * @param {App} app
 */
async function readPresence(app) {
  const { api, state } = app;
  for (const { session, ...presence } of await api.all("/api/presence", "presence")) {
    const entry = state.sessions.get(session);
    if (!entry) continue;
    // An event may have been faster than this answer: the newer sign counts. The mail is counted here only.
    const known = entry.presence;
    const isOlder = (known.since ?? 0) > (presence.since ?? 0);
    setPresence(app, session, isOlder ? { ...known, unread: presence.unread, oldestAt: presence.oldestAt } : presence);
  }
}

/**
 * Read presence and groups again soon; many events make one request.
 * @param {App} app
 */
function refreshSoon(app) {
  refreshTimer ||= window.setTimeout(async () => {
    refreshTimer = 0;
    await readPresence(app).catch(() => {}); // the connection says that it is lost
    count(app);
    app.update();
  }, REFRESH_MS);
}

/**
 * @param {App} app
 * @param {Session} session
 */
function putSession(app, session) {
  const { sessions } = app.state;
  const known = sessions.get(session.id);
  /** @type {Presence} */
  const presence = known?.presence ?? { state: "unknown" };
  sessions.set(session.id, { session, presence, shown: known?.shown ?? presence });
}

/**
 * Working and idle change all day: they are drawn once they have held for 2 s. All else is drawn at once.
 * @param {App} app
 * @param {string} id
 * @param {Presence} presence
 */
function setPresence(app, id, presence) {
  const entry = app.state.sessions.get(id);
  if (!entry) return;
  const changes = entry.presence.state !== presence.state;
  entry.presence = presence;
  const isCalm = CALM.has(presence.state) && CALM.has(entry.shown.state) && presence.state !== entry.shown.state;
  if (!isCalm) {
    window.clearTimeout(held.get(id));
    held.delete(id);
    entry.shown = presence;
  } else if (changes || !held.has(id)) {
    window.clearTimeout(held.get(id));
    held.set(id, window.setTimeout(() => {
      held.delete(id);
      entry.shown = entry.presence;
      app.update();
    }, HOLD_MS));
  } else {
    entry.shown = { ...entry.shown, unread: presence.unread, oldestAt: presence.oldestAt };
  }
}

/**
 * Apply one frame of the gateway, and then say it to the views.
 * @param {App} app
 * @param {{type: string, lsn: number, timestamp: number, data: any}} frame
 */
export function take(app, { type, lsn, timestamp, data }) {
  const { sessions, groups } = app.state;
  const id = data.sessionId ?? "";
  const [kind, what] = type.split(":");
  if (kind === "message") {
    if (data.message) keepOwn(data.message);
    else if (what === "deleted") own.delete(data.messageId);
    app.state.anyMail = true;
    refreshSoon(app);
  } else if (type === "session:presence") {
    const { status: state, since, by, detail } = data;
    const { unread, oldestAt } = sessions.get(id)?.presence ?? {};
    setPresence(app, id, { state, since, by, detail, unread, oldestAt });
  } else if (type === "session:created" || type === "session:updated") {
    const { sessionId: _id, message: _message, ...session } = data;
    if (!session.completedAt || sessions.has(id)) putSession(app, session);
    if (session.completedAt) setPresence(app, id, { state: "ended", since: session.completedAt });
    else refreshSoon(app);
  } else if (type === "session:deleted") sessions.delete(id);
  else if (type === "session:ended") setPresence(app, id, { state: "ended", since: timestamp });
  else if (type === "group:deleted") groups.delete(data.group);
  else if (type === "group:changed") void readGroup(app, data.group);
  else return;
  count(app);
  const { messageId, from, to, message } = data;
  const detail = { lsn, id: messageId, from, to, message };
  if (kind === "group") app.emit("group", { name: data.group });
  else if (kind === "session") app.emit(what === "presence" ? "presence" : "session", { id });
  else if (what !== "created") app.emit("receipt", { ...detail, status: what });
  else if (message) app.emit("message", detail);
}

/**
 * @param {App} app
 * @param {string} name
 */
async function readGroup(app, name) {
  const group = await app.api.get(`/api/groups/${encodeURIComponent(name)}`).catch(() => null);
  if (group) app.state.groups.set(name, group);
  app.update();
}

/** @param {Message} message */
function keepOwn(message) {
  if (message.from !== OPERATOR && message.to !== OPERATOR) return;
  own.set(message.id, message);
  if (own.size > 2 * OWN_MAX) own.delete(own.keys().next().value ?? "");
}

/**
 * Whether a message asks for an answer.
 * @param {Message} message
 */
export const asks = (message) => message.metadata?.type === "request" || message.metadata?.requiresResponse === true;

/**
 * @param {string} detail Such as `permission:Bash`, or a text of a session without hooks.
 * @returns {{kind: "permission"|"question", detail: string}}
 */
export function wanted(detail) {
  const [, tool = ""] = /^permission(?:_prompt)?(?:[:_](.*))?$/s.exec(detail) ?? [];
  if (/^permission/.test(detail) && tool !== "AskUserQuestion") return { kind: "permission", detail: tool };
  return { kind: "question", detail: /^(question|elicitation_dialog|permission:.*)$/s.test(detail) ? "" : detail };
}

/**
 * Count again who waits for the person, and what the person has not read.
 * @param {App} app
 */
export function count(app) {
  const { state } = app;
  /** @type {Wait[]} */
  const stopped = [];
  for (const [id, { presence }] of state.sessions) {
    if (presence.state === "ended" && state.now - (presence.since ?? 0) > ENDED_SHOWN_MS) state.sessions.delete(id);
    if (presence.state !== "waiting") continue;
    stopped.push({ session: id, since: presence.since ?? state.now, ...wanted(presence.detail ?? "") });
  }
  const answered = new Set([...own.values()].filter((mail) => mail.from === OPERATOR).map((mail) => mail.metadata?.inReplyTo));
  const got = [...own.values()].filter((mail) => mail.to === OPERATOR);
  const mail = got.filter((message) => asks(message) && !answered.has(message.id) && message.status !== "expired");
  /** @type {(one: {since: number}, other: {since: number}) => number} */
  const oldestFirst = (one, other) => one.since - other.since;
  const asked = mail.map((message) => ({
    kind: /** @type {const} */ ("mail"), session: message.from, since: message.createdAt, detail: message.message, message,
  }));
  state.waits = [...stopped.sort(oldestFirst), ...asked.sort(oldestFirst)].filter(({ session }) => inProject(app, session));
  state.inboxUnread = got.filter(({ status }) => status === "pending" || status === "delivered").length;
  state.health = needs(app).length;
}

/**
 * Whether a session is of the project that the page shows.
 * @param {App} app
 * @param {string} id
 */
export function inProject({ state }, id) {
  return !state.project || (state.sessions.get(id)?.session.projectId ?? state.project) === state.project;
}

/**
 * The sessions in the order of the sidebar. Their states never change it: the place of a session is what one remembers.
 * @param {App} app
 */
export function roster(app) {
  const entries = [...app.state.sessions.values()].filter(({ session }) => inProject(app, session.id));
  const lead = (/** @type {Session} */ session) => (session.role === "orchestrator" ? 0 : 1);
  return entries.sort(({ session: a }, { session: b }) => lead(a) - lead(b) || (a.name || a.id).localeCompare(b.name || b.id));
}
