// Live: the connection that brings the events. Nothing is missed and nothing comes twice: after a break it asks for all
// from one LSN less than the newest, since one LSN may have several frames, and skips the frames that it has.
// @ts-check
/** @import { App } from "./types.js" */
import { token } from "./api.js";
import { load, take } from "./roster.js";

const RETRY_MS = [300, 1_000, 2_000, 4_000, 8_000];
const PING_MS = 20_000;
const SECOND = 1_000;
const MINUTE = 60_000;

/** @type {WebSocket|null} */
let socket = null;
// The newest frame: of its LSN, all frames up to this index have come. Index -1: the LSN is a place, and no frame.
let newest = { lsn: 0, index: -1 };
// The list was never read, or it can't be continued: everything is read again before the next connection.
let isFresh = false;
let attempt = 0;
let timer = 0;
let isAnswered = true;
let closed = (/** @type {number} */ _code) => {};

/**
 * Connect, and stay connected.
 * @param {App} app
 */
export function start(app) {
  window.setInterval(beat, PING_MS);
  window.setInterval(() => app.state.link.state === "lost" && app.update(), SECOND);
  tick(app);
  document.addEventListener("visibilitychange", () => !document.hidden && tick(app));
  return connect(app);
}

/**
 * Try at once.
 * @param {App} app
 */
export function tryNow(app) {
  if (socket) return void app.api.get("/health").catch(() => {}); // it makes the gateway look for the broker
  window.clearTimeout(timer);
  void connect(app);
}

/** @param {App} app */
async function connect(app) {
  timer = 0;
  app.state.link.retryAt = 0;
  app.update();
  try {
    if (!isFresh) {
      const { head, messages } = await app.api.get("/api/messages", { limit: 1 });
      newest = { lsn: head, index: Infinity };
      app.state.anyMail = messages.length > 0;
    }
    // The socket opens from the LSN first, and what it brings meanwhile is newer than what is read.
    open(app);
  } catch (error) {
    const { status } = /** @type {import("./types.js").ApiError} */ (error);
    if (status !== 401) lose(app, status === 0 ? "gateway" : "broker");
  }
}

/** @param {App} app */
function open(app) {
  const since = newest.index === Infinity || newest.index < 0 ? newest.lsn : Math.max(0, newest.lsn - 1);
  const query = new URLSearchParams({ since: String(since), link: "1", ...(token.get() ? {} : { sessionId: "operator" }) });
  const mine = new WebSocket(`${location.origin.replace("http", "ws")}/ws?${query}`);
  let isLive = false;
  let failure = "";
  socket = mine;
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
    else if (frame.type === "broker:away") miss(app, "broker");
    else if (!isLive || frame.type === "broker:back") {
      isLive = true;
      void arrive(app);
    }
    if (frame.lsn !== undefined && frame.data) receive(app, frame);
  };
  mine.onclose = ({ code }) => closed(code);
  closed = (code) => {
    if (mine !== socket) return;
    socket = null;
    if (code === 4401) return void app.api.get("/ui/session").catch(() => {});
    if (code === 4410 || code === 4409) {
      isFresh = false;
      app.state.link.gap = true;
      return void connect(app);
    }
    // It read too slowly: it goes on at once, and the page was never away.
    if (failure === "SLOW_CONSUMER") return open(app);
    lose(app, code === 1013 ? "broker" : "gateway");
  };
}

/**
 * @param {App} app
 * @param {{type: string, lsn: number, index?: number, timestamp: number, data: any}} frame
 */
function receive(app, frame) {
  const { lsn, index } = frame;
  if (index === undefined) {
    // No event of the log: it says up to where all events have come.
    if (lsn >= newest.lsn) newest = { lsn, index: Infinity };
  } else {
    if (lsn < newest.lsn || (lsn === newest.lsn && index <= newest.index)) return;
    newest = { lsn, index };
  }
  take(app, frame);
}

/** The connection is there. @param {App} app */
async function arrive(app) {
  const { state } = app;
  const { link } = state;
  const wasLost = link.state === "lost";
  link.state = "live";
  link.retryAt = 0;
  attempt = 0;
  tick(app);
  try {
    await load(app);
  } catch {
    return; // the connection is lost again
  }
  if (!isFresh && (wasLost || link.gap)) app.emit("reset", {});
  isFresh = true;
  state.ready = true;
  if (wasLost) state.notice = "Connected again.";
  app.emit("link", {});
}

/**
 * @param {App} app
 * @param {"gateway"|"broker"} reason
 */
function lose(app, reason) {
  const wait = RETRY_MS[Math.min(attempt, RETRY_MS.length - 1)];
  attempt += 1;
  app.state.link.retryAt = Date.now() + wait;
  window.clearTimeout(timer);
  timer = window.setTimeout(() => void connect(app), wait);
  miss(app, reason);
}

/**
 * Say that nothing comes. While only the broker is away, the connection stays, and the gateway looks for the broker.
 * @param {App} app
 * @param {"gateway"|"broker"} reason
 */
function miss(app, reason) {
  const { link } = app.state;
  if (link.state !== "lost") Object.assign(link, { state: "lost", since: Date.now() });
  link.reason = reason;
  app.state.notice = "Not connected.";
  app.state.ready = true;
  app.emit("link", {});
}

/** A connection that is dead without a word is given up. */
function beat() {
  if (!socket || socket.readyState !== WebSocket.OPEN) return;
  if (!isAnswered) {
    socket.close();
    return closed(1006);
  }
  isAnswered = false;
  socket.send('{"type":"ping"}');
}

let minute = 0;

/** All ages change on the minute, together; they stop while the page is not connected. @param {App} app */
function tick(app) {
  window.clearTimeout(minute);
  minute = window.setTimeout(() => tick(app), MINUTE - (Date.now() % MINUTE));
  if (app.state.link.state === "lost") return;
  app.state.now = Date.now();
  app.update();
}
