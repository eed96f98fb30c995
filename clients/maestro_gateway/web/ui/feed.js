// Feed: the messages of one list: pages by cursor, live additions, receipts that change in place, and the place where
// the reader stands. At most 1,000 rows are kept.
// @ts-check
/** @import { ApiError, App, EventDetail, Message, Query, Row } from "./types.js" */
import { tried } from "./api.js";
import { askCounts } from "./receipts.js";

/** @typedef {{key: string, at: number, id: string, kind: 'waiting'|'gone'|'started'|'ended', detail: string}} Line */
const PAGE = 200, KEPT = 1000, RELOAD_MS = 250, NEAR_PX = 600;

/** Reads again after events that `fits`, once for all of a moment. Returns what ends it.
 * @param {App} app @param {() => void} read @param {(detail: EventDetail) => boolean} fits */
export function follow(app, read, fits) {
  let timer = 0;
  const again = () => {
    timer = 0;
    read();
  };
  const soon = (/** @type {EventDetail} */ detail) => void (fits(detail) && (timer ||= window.setTimeout(again, RELOAD_MS)));
  const offs = [app.on("message", soon), app.on("receipt", soon), app.on("reset", read), () => clearTimeout(timer)];
  return () => offs.forEach((off) => off());
}

/** The messages of one list. `query` says which, and `fits` whether a new one belongs to it. */
export class Feed {
  /** @type {Row[]} */ rows = [];
  /** @type {Map<string, Row>} */ byId = new Map();
  /** Message → who answered it, and when. @type {Map<string, Map<string, number>>} */ answers = new Map();
  /** @type {Map<string, Line>} */ lines = new Map();
  /** @type {Set<string>} */ opened = new Set();
  /** What came below the place where the reader stands. @type {{count: number, names: Set<string>}} */ below = {count: 0, names: new Set()};
  /** @type {ApiError | null} */ error = null;
  /** The last row that was there when the connection was lost. */ mark = 0;
  loaded = false; busy = false; hasOlder = false; hasNewer = false; follows = true;
  #before = 0; #top = 0; #turn = 0;
  /** @type {HTMLElement | null} */ #box = null;
  /** @type {(() => void)[]} */ #offs = [];
  /** @type {Set<string>} */ #stale = new Set();
  /** What came while the list is read. @type {(() => void)[] | null} */ #early = null;
  #timer = 0;
  #sizes = new ResizeObserver(() => this.follows && this.#toEnd());

  /** @param {App} app @param {Query} query @param {(message: Message) => boolean} fits */
  constructor(app, query, fits) {
    this.app = app; this.query = query; this.fits = fits;
    this.#offs = [app.on("message", (detail) => this.#came(detail)), app.on("receipt", (detail) => this.#changed(detail)),
      app.on("reset", () => this.load()), app.on("session", () => this.#watch()), app.on("presence", () => this.#watch()),
      app.on("link", () => {
        this.#watch();
        if (app.state.link.state === "lost") this.mark ||= this.rows.at(-1)?.lsn ?? 0;
      })];
  }

  close() {
    this.#turn += 1;
    this.#sizes.disconnect();
    for (const off of this.#offs) off();
  }

  /** Reads the list from its end. What comes meanwhile may be newer than the answer, and is applied to it. */
  async load() {
    this.#turn += 1;
    this.#early ??= [];
    const rows = await this.#page({});
    if (this.error) this.#early = null;
    if (!rows) return;
    Object.assign(this, { rows: [], byId: new Map(), answers: new Map(), hasNewer: false, loaded: true });
    this.#add(rows, "end");
    const early = this.#early ?? [];
    this.#early = null;
    for (const apply of early) apply();
    this.#watch();
    this.end();
  }

  /** Reads what is older, and keeps the rows that are looked at where they are. */
  async older() {
    if (this.busy || !this.hasOlder) return;
    const rows = await this.#page({before: this.#before});
    if (rows) this.#keepPlace(() => this.#add(rows, "start"));
  }

  async newer() {
    if (this.busy || !this.hasNewer) return;
    const rows = await this.#page({after: this.rows.at(-1)?.lsn ?? 0});
    if (rows) this.#keepPlace(() => this.#add(rows, "end"));
  }

  /** @param {Query} where @returns {Promise<Row[] | null>} */
  async #page(where) {
    const turn = this.#turn;
    /** @type {Row[]} */
    let rows = [];
    this.busy = true;
    // A page may be short although there are more.
    for (let more = true, at = where; more && rows.length < PAGE / 2 && turn === this.#turn;) {
      const asked = { limit: PAGE, counts: true, project: this.app.state.project, ...this.query, ...at };
      const [page, error] = await tried(this.app.api.get("/api/messages", asked));
      if (turn !== this.#turn) return null;
      this.error = error;
      if (error) break;
      more = page.hasMore;
      rows = "after" in where ? [...rows, ...page.messages] : [...page.messages, ...rows];
      if ("after" in where) [this.hasNewer, at] = [more, { after: page.upTo }];
      else [this.hasOlder, this.#before, at] = [more, page.before, { before: page.before }];
    }
    if (turn !== this.#turn) return null;
    this.busy = false;
    this.app.update();
    return this.error ? null : rows;
  }

  /** @param {Row[]} rows @param {'start'|'end'} side */
  #add(rows, side) {
    const fresh = rows.filter((row) => !this.byId.has(row.message.id));
    for (const row of fresh) {
      this.byId.set(row.message.id, row);
      const parent = row.message.metadata?.inReplyTo;
      if (!parent) continue;
      const known = this.answers.get(parent) ?? new Map();
      this.answers.set(parent, known.has(row.message.from) ? known : new Map(known).set(row.message.from, row.message.createdAt));
    }
    this.rows = side === "end" ? [...this.rows, ...fresh] : [...fresh, ...this.rows];
    const dropped = side === "end" ? this.rows.splice(0, Math.max(0, this.rows.length - KEPT)) : this.rows.splice(KEPT);
    for (const row of dropped) this.byId.delete(row.message.id);
    if (dropped.length && side === "start") this.hasNewer = true;
    if (dropped.length && side === "end") [this.hasOlder, this.#before] = [true, this.rows[0].lsn];
  }

  /** @param {EventDetail} detail */
  #came(detail) {
    const { lsn = 0, message } = detail;
    if (this.#early) return void this.#early.push(() => this.#came(detail));
    if (!message || !this.loaded || !this.fits(message)) return;
    const isToMany = (message.audience?.size ?? 0) > 1;
    if (isToMany) this.#ask(message.id);
    if (this.byId.has(message.id)) return;
    if (!this.follows) {
      this.below.count += 1;
      this.below.names.add(this.app.nameOf(message.from));
      this.hasNewer ||= this.rows.length >= KEPT;
    }
    if (this.hasNewer) return;
    this.#add([{ lsn, message, isNew: true, ...(isToMany ? { receivers: [message.to], counts: { pending: message.audience?.size ?? 1 } } : {}) }], "end");
    if (this.follows) this.#drawn(() => this.#toEnd());
  }

  /** @param {Row} row */
  #put(row) {
    this.byId.set(row.message.id, row);
    this.rows[this.rows.findLastIndex((other) => other.message.id === row.message.id)] = row;
    this.app.update();
  }

  /** @param {EventDetail} detail */
  #changed(detail) {
    const { id = "", status, message } = detail, row = this.byId.get(id);
    if (this.#early) this.#early.push(() => this.#changed(detail));
    else if (row?.counts) this.#ask(id);
    else if (row && status === "deleted") {
      this.byId.delete(id);
      this.rows = this.rows.filter((other) => other !== row);
    } else if (row) this.#put({ ...row, isNew: false, message: { ...row.message, status: status ?? row.message.status, ...message } });
  }

  /** The counts of a message to several are asked for together. @param {string} id */
  #ask(id) {
    this.#stale.add(id);
    this.#timer ||= setTimeout(async () => {
      const ids = [...this.#stale];
      this.#timer = 0;
      this.#stale.clear();
      await Promise.all(ids.map(async (stale) => {
        const counts = await askCounts(this.app, stale), row = this.byId.get(stale);
        if (counts && row) this.#put({ ...row, counts });
      }));
    }, RELOAD_MS);
  }

  /** Keeps what happened to the sessions as lines of the list. */
  #watch() {
    for (const [id, {session, presence}] of this.app.state.sessions) {
      const note = (/** @type {Line['kind']} */ kind, /** @type {number | null | undefined} */ at, detail = "") => {
        const key = `${id} ${kind} ${at}`;
        if (at) this.lines.set(key, {key, at, id, kind, detail});
      };
      note("started", session.startedAt);
      if (session.completedAt) note("ended", session.completedAt);
      else if (presence.state === "waiting" || presence.state === "gone") note(presence.state, presence.since, presence.detail);
    }
  }

  /** Rows and lines by time. @param {(line: Line) => boolean} shows @returns {(Row | Line)[]} */
  items(shows) {
    const from = this.hasOlder ? this.rows[0]?.message.createdAt ?? Infinity : 0, until = this.hasNewer ? this.rows.at(-1)?.message.createdAt ?? 0 : Infinity;
    const lines = [...this.lines.values()].filter((line) => line.at >= from && line.at <= until && shows(line)).sort((one, other) => one.at - other.at);
    /** @type {(Row | Line)[]} */
    const out = [];
    for (const row of this.rows) {
      while (lines.length && lines[0].at < row.message.createdAt) out.push(/** @type {Line} */ (lines.shift()));
      out.push(row);
    }
    return [...out, ...lines];
  }

  /** @param {() => void} then Runs after the next frame is drawn. */
  #drawn(then) {
    this.app.update();
    requestAnimationFrame(then);
  }

  /** Keeps the first row that is seen where it is. @param {() => void} change */
  #keepPlace(change) {
    const box = this.#box, top = box?.getBoundingClientRect().top ?? 0;
    const first = [...(box?.querySelectorAll("[data-row]") ?? [])].find((row) => row.getBoundingClientRect().bottom > top);
    const place = first?.getBoundingClientRect().top ?? 0;
    const hold = () => {
      if (box && first?.isConnected) box.scrollTop += first.getBoundingClientRect().top - place;
    };
    change();
    // Rows that come into view get their true height in the frame after.
    this.#drawn(() => {
      hold();
      requestAnimationFrame(hold);
    });
  }

  #toEnd() {
    if (this.#box) this.#box.scrollTop = this.#box.scrollHeight;
  }

  /** @param {Element | undefined} box The element that scrolls. */
  hold(box) {
    this.#sizes.disconnect();
    this.#box = /** @type {HTMLElement | null} */ (box ?? null);
    for (const part of this.#box ? [this.#box, ...this.#box.children] : []) this.#sizes.observe(part);
  }

  /** The reader scrolled. */
  scrolled() {
    const box = this.#box;
    if (!box) return;
    const isEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 24, wentUp = box.scrollTop < this.#top - 1;
    this.#top = box.scrollTop;
    if (isEnd && this.hasNewer) this.newer();
    else if (isEnd !== this.follows && (isEnd || wentUp)) {
      this.follows = isEnd;
      if (isEnd) this.below = {count: 0, names: new Set()};
      this.app.update();
    }
    if (box.scrollTop < NEAR_PX) this.older();
  }

  /** To the newest message. */
  end() {
    if (this.hasNewer) return void this.load();
    this.follows = true;
    this.below = {count: 0, names: new Set()};
    this.#drawn(() => this.#toEnd());
  }

  /** The message in the pane, or in focus. @returns {Message | undefined} */
  get chosen() {
    return this.byId.get(this.app.state.pane ?? document.activeElement?.closest("[data-row]")?.getAttribute("data-row") ?? "")?.message;
  }
}
