// Live: the connection that brings the events. Nothing is missed and nothing comes twice: after a break it asks for all
// from one LSN less than the newest, since one LSN may have several frames, and skips the frames that it has.
// @ts-check
/** @import { App } from "./types.js" */
import { token } from "./api.js";
import * as health from "./health_view.js";
import { load, take } from "./roster.js";

const RETRY_MS = [300, 1_000, 2_000, 4_000, 8_000];
const PING_MS = 20_000;
const SECOND = 1_000;
const MINUTE = 60_000;
// The codes by which the gateway says that it can't go on from where the page is.
const CURSOR_LOST = new Set([4409, 4410]);

/** @type {WebSocket|null} */
let socket = null;
// The newest frame: of its LSN, all frames up to this index have come. Infinity: all of them.
let newest = { lsn: 0, index: Infinity };
// The lists of the state are of this connection's place, and it can be continued.
let isRead = false;
/** What the lists of the state are being read by. @type {Promise<void>|null} */
let reading = null;
let attempt = 0;
let retryTimer = 0;
let minuteTimer = 0;
let isAnswered = true;
let closed = (/** @type {number} */ _code) => {};

/** Connect, and stay connected. @param {App} app */
export function start(app) {
  window.setInterval(beat, PING_MS);
  window.setInterval(() => app.state.link.state === "lost" && app.update(), SECOND);
  document.addEventListener("visibilitychange", () => document.hidden || tick(app));
  tick(app);
  return connect(app);
}

/** Try at once. @param {App} app */
export function tryNow(app) {
  if (socket) return void app.api.get("/health").catch(() => {}); // it makes the gateway look for the broker
  void connect(app);
}

/** @param {App} app */
async function connect(app) {
  window.clearTimeout(retryTimer);
  app.state.link.retryAt = 0;
  app.update();
  try {
    if (!isRead) {
      // The place is read before the lists, so that the events bring what is newer than those.
      const { head, messages } = await app.api.get("/api/messages", { limit: 1 });
      newest = { lsn: head, index: Infinity };
      app.state.anyMail = messages.length > 0;
      reading = load(app);
      reading.catch(() => {}); // it is awaited when the connection is there
    }
    open(app);
  } catch (error) {
    const { status } = /** @type {import("./types.js").ApiError} */ (error);
    if (status === 401 || status === 403) return; // the page needs a login
    retryTimer = window.setTimeout(connect, later(app), app);
    lose(app, status ? "broker" : "gateway");
  }
}

/** The time until the next attempt. @param {App} app */
function later(app) {
  const wait = RETRY_MS[Math.min(attempt++, RETRY_MS.length - 1)];
  app.state.link.retryAt = Date.now() + wait;
  return wait;
}

/** @param {App} app */
function open(app) {
  const since = newest.index === Infinity ? newest.lsn : Math.max(0, newest.lsn - 1);
  const query = new URLSearchParams({ since: String(since), link: "1", ...(token.get() ? {} : { sessionId: "operator" }) });
  const mine = (socket = new WebSocket(`${location.origin.replace("http", "ws")}/ws?${query}`));
  let isLive = false;
  let failure = "";
  isAnswered = true;
  mine.onopen = () => {
    if (token.get()) mine.send(JSON.stringify({ type: "auth", token: token.get() }));
    mine.send('{"type":"ping"}'); // its answer says that the connection was not refused
  };
  mine.onmessage = ({ data }) => {
    if (mine !== socket) return;
    const frame = JSON.parse(data);
    isAnswered = true;
    if (frame.type === "error") failure = frame.code;
    else if (frame.type === "broker:away") lose(app, "broker");
    else if (!isLive || frame.type === "broker:back") {
      isLive = true;
      void arrive(app);
    }
    if (frame.data) receive(app, frame);
  };
  closed = (code) => {
    if (mine !== socket) return;
    socket = null;
    if (code === 4401) return void app.api.get("/ui/session").catch(() => {}); // its answer leads to the login
    if (CURSOR_LOST.has(code)) {
      isRead = false;
      app.state.link.gap = true;
    }
    // It read too slowly: it goes on at once, and the page was never away.
    if (CURSOR_LOST.has(code) || failure === "SLOW_CONSUMER") return void connect(app);
    retryTimer = window.setTimeout(connect, later(app), app);
    lose(app, code === 1013 ? "broker" : "gateway");
  };
  mine.onclose = ({ code }) => closed(code);
}

/** @param {App} app @param {{type: string, lsn: number, index?: number, timestamp: number, data: any}} frame */
function receive(app, frame) {
  // Without an index it is no event of the log: it says up to where all events have come.
  const { lsn, index = Infinity } = frame;
  const isKnown = lsn < newest.lsn || (lsn === newest.lsn && index <= newest.index);
  if (isKnown && frame.index !== undefined) return;
  if (!isKnown) newest = { lsn, index };
  take(app, frame);
}

/** The connection is there. @param {App} app */
async function arrive(app) {
  const { state } = app;
  const wasLost = state.link.state === "lost";
  Object.assign(state.link, { state: "live", retryAt: 0 });
  attempt = 0;
  tick(app);
  try {
    await (reading ?? load(app));
  } catch {
    return; // the connection is lost again
  } finally {
    reading = null;
  }
  if (!isRead && (wasLost || state.link.gap)) app.emit("reset", {});
  isRead = state.ready = true;
  if (wasLost) state.notice = "Connected again.";
  app.emit("link", {});
}

/** Say that nothing comes. While only the broker is away, the connection may stay; then the gateway looks for the broker.
 * @param {App} app @param {"gateway"|"broker"} reason */
function lose(app, reason) {
  const { link } = app.state;
  if (link.state !== "lost") Object.assign(link, { state: "lost", since: Date.now() });
  link.reason = reason;
  app.state.notice = "Not connected.";
  app.state.ready = true;
  app.emit("link", {});
}

/** A connection that is dead without a word is given up. */
function beat() {
  if (socket?.readyState !== WebSocket.OPEN) return;
  if (isAnswered) socket.send('{"type":"ping"}');
  else socket.close();
  if (!isAnswered) closed(1006);
  isAnswered = false;
}

/** All ages change on the minute, together; they stop while the page is not connected. @param {App} app */
function tick(app) {
  window.clearTimeout(minuteTimer);
  minuteTimer = window.setTimeout(tick, MINUTE - (Date.now() % MINUTE), app);
  if (app.state.link.state === "lost") return;
  app.state.now = Date.now();
  if (app.state.link.state === "live") void health.load(app);
  app.update();
}
