// Roster: the sessions, groups and waits of the state. It is read once, and then the events change it.
// @ts-check
/** @import { App, Message, Presence, Session, Wait } from "./types.js" */
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

/** Read everything that the sidebar shows. @param {App} app */
export async function load(app) {
  const { api, state } = app;
  const [sessions, groups, mail] = await Promise.all([
    api.all("/api/sessions", "", { active: true }), api.all("/api/groups", "", { members: true }),
    api.get("/api/messages", { session: OPERATOR, limit: OWN_MAX }),
  ]);
  const active = new Set(sessions.map(({ id }) => id));
  for (const id of state.sessions.keys()) if (!active.has(id)) state.sessions.delete(id);
  sessions.forEach((session) => putSession(app, session));
  state.groups = new Map(groups.map((group) => [group.name, group]));
  for (const { message } of mail.messages) own.set(message.id, message);
  await readPresence(app);
  count(app);
}

/** What each session does now, and how much mail waits for it. @param {App} app */
async function readPresence(app) {
  for (const { session, ...presence } of await app.api.all("/api/presence", "presence")) {
    const known = app.state.sessions.get(session)?.presence;
    // An event may have been faster than this answer: the newer sign counts. The mail is counted here only.
    const isOlder = (known?.since ?? 0) > (presence.since ?? 0);
    setPresence(app, session, isOlder ? { ...known, unread: presence.unread, oldestAt: presence.oldestAt } : presence);
  }
}

/** Read presence again soon; many events make one request. @param {App} app */
function refreshSoon(app) {
  refreshTimer ||= window.setTimeout(async () => {
    refreshTimer = 0;
    await readPresence(app).catch(() => {}); // the connection says that it is lost
    count(app);
    app.update();
  }, REFRESH_MS);
}

/** @param {App} app @param {Session} session */
function putSession({ state: { sessions } }, session) {
  const { presence, shown } = sessions.get(session.id) ?? { presence: { state: "unknown" } };
  sessions.set(session.id, { session, presence, shown: shown ?? presence });
}

/** Working and idle change all day: they are drawn once they have held for 2 s. All else is drawn at once.
 * @param {App} app @param {string} id @param {Presence} presence */
function setPresence(app, id, presence) {
  const entry = app.state.sessions.get(id);
  if (!entry) return;
  const changes = entry.presence.state !== presence.state;
  const isCalm = [presence, entry.shown].every(({ state }) => CALM.has(state)) && presence.state !== entry.shown.state;
  entry.presence = presence;
  if (isCalm && !changes && held.has(id)) return;
  window.clearTimeout(held.get(id));
  held.delete(id);
  if (!isCalm) entry.shown = presence;
  else held.set(id, window.setTimeout(() => {
    held.delete(id);
    entry.shown = entry.presence;
    app.update();
  }, HOLD_MS));
}

/** Apply one frame of the gateway, and then say it to the views.
 * @param {App} app @param {{type: string, lsn: number, timestamp: number, data: any}} frame */
export function take(app, { type, lsn, timestamp, data }) {
  const { sessions, groups } = app.state;
  const { sessionId: id = "", messageId, from, to, message, ...session } = data;
  const [kind, what] = type.split(":");
  if (kind === "message") {
    if (message) keepOwn(message);
    else if (what === "deleted") own.delete(messageId);
    app.state.anyMail = true;
    refreshSoon(app);
  } else if (what === "presence") {
    const { unread, oldestAt } = sessions.get(id)?.presence ?? {};
    setPresence(app, id, { state: data.status, since: data.since, by: data.by, detail: data.detail, unread, oldestAt });
  } else if (type === "session:created" || type === "session:updated") {
    if (!session.completedAt || sessions.has(id)) putSession(app, session);
    if (session.completedAt) setPresence(app, id, { state: "ended", since: session.completedAt });
    else refreshSoon(app);
  } else if (type === "session:deleted") sessions.delete(id);
  else if (type === "session:ended") setPresence(app, id, { state: "ended", since: timestamp });
  else if (type === "group:deleted") groups.delete(data.group);
  else if (type === "group:changed") void readGroup(app, data.group);
  else return;
  count(app);
  if (kind === "group") app.emit("group", { name: data.group });
  else if (kind === "session") app.emit(what === "presence" ? "presence" : "session", { id });
  else if (what !== "created") app.emit("receipt", { lsn, id: messageId, from, to, message, status: what });
  else if (message) app.emit("message", { lsn, id: messageId, from, to, message });
}

/** @param {App} app @param {string} name */
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

/** Whether a message asks for an answer. @param {Message} message */
export const asks = ({ metadata }) => metadata?.type === "request" || metadata?.requiresResponse === true;

/** What a session waits for. @param {string} detail Such as `permission:Bash`, or a text of a session without hooks.
 * @returns {{kind: "permission"|"question", detail: string}} */
export function wanted(detail) {
  const [, tool = ""] = /^permission(?:_prompt)?(?::(.*))?$/s.exec(detail) ?? [];
  if (/^permission(:|_prompt|$)/.test(detail) && tool !== "AskUserQuestion") return { kind: "permission", detail: tool };
  return { kind: "question", detail: /^(question|elicitation_dialog|permission:.*)$/s.test(detail) ? "" : detail };
}

/** Count again who waits for the person, and what the person has not read. @param {App} app */
export function count(app) {
  const { state } = app;
  /** @type {Wait[]} */
  const stopped = [];
  for (const [id, { session, presence: { state: now, since = state.now, detail = "" } }] of state.sessions) {
    if (now === "ended" && state.now - since > ENDED_SHOWN_MS) state.sessions.delete(id);
    if (now !== "waiting") continue;
    const found = wanted(detail);
    const said = session.needsInput?.active ? session.needsInput.message ?? "" : "";
    stopped.push({ session: id, since, ...found, detail: found.detail || wanted(said).detail });
  }
  const answered = new Set([...own.values()].filter(({ from }) => from === OPERATOR).map(({ metadata }) => metadata?.inReplyTo));
  const got = [...own.values()].filter(({ to }) => to === OPERATOR);
  const open = got.filter((message) => asks(message) && !answered.has(message.id) && message.status !== "expired");
  /** @type {Wait[]} */
  const asked = open.map((message) => ({ kind: "mail", session: message.from, since: message.createdAt, detail: message.message, message }));
  const groups = [stopped, asked].map((some) => some.sort((one, other) => one.since - other.since));
  state.waits = groups.flat().filter(({ session }) => inProject(app, session));
  state.inboxUnread = got.filter(({ status }) => status === "pending" || status === "delivered").length;
}

/** Whether a session is of the project that the page shows. @param {App} app @param {string} id */
export const inProject = ({ state }, id) => !state.project || (state.sessions.get(id)?.session.projectId ?? state.project) === state.project;

/** The id of a session that is named by its id or by its name. @param {App} app @param {string} name */
export const idOf = ({ state: { sessions } }, name) => sessions.has(name) || name === OPERATOR ? name
  : [...sessions.values()].find(({ session }) => session.name === name)?.session.id ?? name;

/** The sessions in the order of the sidebar. Their states never change it: a person remembers places. @param {App} app */
export function roster(app) {
  const entries = [...app.state.sessions.values()].filter(({ session }) => inProject(app, session.id));
  const key = (/** @type {Session} */ { role, name, id }) => (role === "orchestrator" ? "0" : "1") + (name || id);
  return entries.sort(({ session: one }, { session: other }) => key(one).localeCompare(key(other)));
}
