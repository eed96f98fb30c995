// Receipts: what became of a message: the phases of a moon, a bar for many receivers, and the chain of steps.
// @ts-check
/** @import { App, Message, Row } from "./types.js" */
import { html, svg, nothing } from "./vendor/lit-html/lit-html.js";
import { icon, paths } from "./icons.js";
import { path } from "./router.js";
import { age, cameBy, clock, delay, roughly } from "./words.js";

/**
 * @typedef {Record<string, number>} Counts State → number of receivers.
 * @typedef {{to: string, state: string, at?: number, offeredAt?: number, offeredVia?: string, deliveredAt?: number,
 *   deliveredVia?: string, wokenBy?: string, readAt?: number, answeredAt?: number, answerId?: string, code?: string,
 *   originalTo?: string, presence?: {state: string, since?: number}}} Step
 * @typedef {{id: string, from: string, counts: Counts, recipients: Step[], createdAt?: number, expiresAt?: number,
 *   failure?: {code: string, message: string}}} Receipt
 */

const ORDER = ["answered", "read", "delivered", "offered", "accepted", "expired", "deleted", "refused"];
const AS = /** @type {Record<string, string>} */ ({pending: "accepted", failed: "refused"});
const MINUTE = 60_000;
const GLYPHS_MAX = 9;

/** @param {string} code @param {App} app */
const REFUSALS = (code, app) => /** @type {Record<string, string>} */ ({
  MAILBOX_FULL: `Mailbox full: it holds ${app.state.mailboxMax ? app.state.mailboxMax.toLocaleString("en-US") : "as many"} undelivered messages, the limit.`,
  SESSION_ENDED: "The session had ended.", SESSION_NOT_FOUND: "There is no such session.",
  RATE_LIMITED: "The sender sent too much in too short a time.", FORBIDDEN: "The sender may not write to it.",
  LOOP: "The two answered each other too often in a short time.",
})[code] ?? `Refused: ${code.toLowerCase().replaceAll("_", " ")}.`;

/** @param {Message} message @param {number} [answeredAt] */
export function stateOf(message, answeredAt) {
  if (answeredAt) return "answered";
  return message.status === "pending" && message.offeredAt ? "offered" : AS[message.status] ?? message.status;
}

/**
 * How many receivers of a row are in which state.
 * @param {Row} row
 * @param {Map<string, number>} [answers] Who answered, and when.
 * @returns {Counts}
 */
function countsOf(row, answers) {
  if (!row.counts) return {[stateOf(row.message, answers?.get(row.message.to))]: 1};
  /** @type {Counts} */
  const found = {};
  for (const [state, number] of Object.entries(row.counts)) found[AS[state] ?? state] = (found[AS[state] ?? state] ?? 0) + number;
  // The counts of a page of messages do not know the answers; the answers in the list do.
  for (let left = (answers?.size ?? 0) - (found.answered ?? 0); left > 0; left -= 1) {
    const from = ["read", "delivered", "offered", "accepted"].find((state) => found[state]);
    if (!from) break;
    found[from] -= 1;
    found.answered = (found.answered ?? 0) + 1;
  }
  return found;
}

/** A receipt's own counts are of those that came at least so far. @param {Receipt} doc @returns {Counts} */
export const lastStates = (doc) => doc.recipients.reduce((/** @type {Counts} */ all, step) => {
  const state = AS[step.state] ?? step.state;
  return {...all, [state]: (all[state] ?? 0) + 1};
}, {});

/** What became of a message to several: a list does not say it. @param {App} app @param {string} id @returns {Promise<Counts|null>} */
export const askCounts = (app, id) => app.api.get(`/api/messages/${encodeURIComponent(id)}/receipt`).then(lastStates, () => null);

const total = (/** @type {Counts} */ counts) => Object.values(counts).reduce((sum, number) => sum + number, 0);
const sum = (/** @type {Counts} */ counts, /** @type {string[]} */ ...states) => states.reduce((all, state) => all + (counts[state] ?? 0), 0);

/** `5 of 7 read`, or the only receiver's state. @param {Counts} counts */
export function wordOf(counts) {
  const all = total(counts), read = sum(counts, "read", "answered"), delivered = read + sum(counts, "delivered");
  if (all === 1) return ORDER.find((state) => counts[state]) ?? "";
  if (read || delivered) return read ? `${read} of ${all} read` : `${delivered} of ${all} delivered`;
  const failed = sum(counts, "refused", "expired");
  return failed === all ? `${all} ${counts.refused === all ? "refused" : "expired"}` : `0 of ${all} read`;
}

/** The same for a screen reader, whole. @param {Counts} counts */
export function nameOf(counts) {
  if (total(counts) === 1) return wordOf(counts);
  const rest = ORDER.filter((state) => counts[state] && !["answered", "read"].includes(state));
  const read = sum(counts, "read", "answered");
  return [`${read} of ${total(counts)} read`, counts.answered ? `${counts.answered} answered` : "", ...rest.map((state) => `${counts[state]} ${state}`)]
    .filter(Boolean).join(", ");
}

/** One moon a receiver, or a bar. @param {Counts} counts */
function glyphs(counts) {
  const all = total(counts);
  if (all <= GLYPHS_MAX) return ORDER.flatMap((state) => Array.from({length: counts[state] ?? 0}, () => icon(state)));
  let at = 0;
  return html`<svg class="spread" width="64" height="10" viewBox="0 0 64 10" aria-hidden="true">${ORDER.filter((state) => counts[state]).map((state) => {
    const [x, width] = [at, (counts[state] / all) * 64];
    at += width;
    return svg`<rect class="of-${state}" x=${x} y="0.5" width=${Math.max(width - 1, 1)} height="9"></rect>`;
  })}</svg>`;
}

/**
 * The receipt at the right edge of a row.
 * @param {App} app
 * @param {Row} row
 * @param {Map<string, number>} [answers]
 * @param {{delays?: boolean, own?: boolean}} [how] `own`: in the inbox of the person.
 */
export function receipt(app, row, answers, {delays = false, own = false} = {}) {
  const {message} = row, counts = countsOf(row, answers), waited = app.state.now - message.createdAt;
  let word = wordOf(counts), name = nameOf(counts), tone = "";
  if (sum(counts, "accepted", "offered") === total(counts) && waited >= MINUTE) word = `pending ${age(waited)}`;
  if (message.to === "operator" && !row.counts && ["accepted", "offered", "delivered", "read"].includes(word.split(" ")[0].replace("pending", "accepted"))) {
    const asks = message.metadata?.type === "request" || message.metadata?.requiresResponse;
    if (message.status !== "read") word = own ? "new" : "not read";
    if (own && asks && waited >= MINUTE) [word, tone] = [`no answer for ${age(waited)}`, "attn"];
    name = word === name ? name : `${word}, ${name}`;
  } else if (delays && total(counts) === 1) {
    const at = {answered: answers?.get(message.to), read: message.readAt, delivered: message.deliveredAt}[word];
    if (at) word = `${word} ${roughly(at - message.createdAt)}`;
  }
  if (counts.refused || counts.expired) tone ||= total(counts) === 1 ? "fail" : "";
  return html`<span class="receipt ${tone}" role="img" aria-label=${name} title=${name}><span class="word">${word}</span><span class="moons">${glyphs(counts)}</span></span>`;
}

/** @param {App} app @param {Step} step @param {Receipt} doc */
function trouble(app, step, doc) {
  if (step.state === "expired") return "It expired before it was shown.";
  if (doc.failure) return doc.failure.message;
  return REFUSALS(step.code ?? "refused", app);
}

/** What is known of a receiver that was not shown the message. @param {App} app @param {Step} step */
function waits(app, step) {
  const {state = "", since = app.state.now} = step.presence ?? {};
  const words = /** @type {Record<string, string>} */ ({
    waiting: "it waits for you", unknown: "no sign of life", gone: "its process is gone", ended: "it has ended", idle: "idle", working: "at its next tool call",
  })[state] ?? "";
  const time = ["unknown", "gone", "idle"].includes(state) && age(app.state.now - since);
  return time ? `${words} for ${time}`.replace("gone for", "gone since") : words;
}

const WIDTH = 332;
const MARKS = /** @type {[number, string][]} */ ([[100, "0.1 s"], [1000, "1 s"], [10_000, "10 s"], [MINUTE, "1 m"], [600_000, "10 m"], [3_600_000, "1 h"], [86_400_000, "1 d"], [2_592_000_000, "30 d"]]);

/** @param {Step} step @param {number} from @param {number} now @param {(ms: number) => number} place @param {number[]} grid */
function strip(step, from, now, place, grid) {
  /** @type {[string, number][]} */
  const known = [];
  for (const name of ["offered", "delivered", "read", "answered"]) {
    const at = /** @type {number | undefined} */ (/** @type {any} */ (step)[`${name}At`]);
    if (at) known.push([name, place(at - from)]);
  }
  // Of glyphs nearer than 6 px only the later is drawn.
  const drawn = known.filter(([, x], at) => known.slice(at + 1).every(([, later]) => later - x >= 6));
  const end = known.at(-1)?.[1] ?? 0, isWaiting = ["accepted", "offered", "pending"].includes(step.state);
  return html`<svg class="strip" width=${WIDTH + 16} height="32" viewBox="-8 0 ${WIDTH + 16} 32" aria-hidden="true">
    ${grid.map((x) => svg`<path class="grid" d="M${x} 0V32"></path>`)}
    <path class="axis" d="M0 12V20M0 16H${end}"></path>${isWaiting ? svg`<path class="axis wait" d="M${end} 16H${place(now - from)}"></path>` : nothing}
    ${drawn.map(([name, x]) => svg`<g transform="translate(${x - 8} 8)"><circle class="ground" cx="8" cy="8" r="5"></circle>
      <path class="fill" d=${paths(name).fill}></path><path class="stroke" d=${paths(name).lines}></path></g>`)}</svg>`;
}

/**
 * The chain of steps: sums, then a line for each receiver, on one logarithmic axis.
 * @param {App} app
 * @param {Receipt} doc
 * @param {(() => void) | null} retry Sends the message again to those that did not get it.
 */
export function chain(app, doc, retry) {
  const from = doc.createdAt ?? 0, {now} = app.state;
  const isOne = doc.recipients.filter(({state}) => state === "refused" || state === "expired").length === 1;
  const latest = Math.max(0, ...doc.recipients.map((step) => (step.answeredAt ?? step.readAt ?? step.deliveredAt ?? step.offeredAt ?? from) - from));
  const last = MARKS.findIndex(([ms], at) => at >= 5 && (ms >= latest || at === MARKS.length - 1)), end = MARKS[last][0];
  const place = (/** @type {number} */ ms) => Math.round(Math.min(1, Math.max(0, Math.log(Math.max(ms, 1) / 100) / Math.log(end / 100))) * WIDTH * 10) / 10;
  const marks = MARKS.slice(0, last + 1), grid = marks.slice(1).map(([ms]) => place(ms));
  const number = (/** @type {number | undefined} */ at, /** @type {boolean} */ isDue) => at ? delay(at - from) : isDue ? html`<span class="low">not yet</span>` : nothing;
  return html`<ul class="sums">${["accepted", "offered", "delivered", "read", "answered", "expired", "deleted", "refused"].filter((state) => doc.counts[state] || ORDER.indexOf(state) < 5)
    .map((state) => html`<li class=${state === "refused" || state === "expired" ? "fail" : ""}>${icon(state)} <b>${doc.counts[state] ?? 0}</b> ${state}</li>`)}</ul>
    <div class="wide" tabindex="0" role="group" aria-label="Receipts"><table class="chain"><thead>
    <tr><th scope="col">To</th><th scope="col">State</th><th scope="col" class="strip-cell">Since accepted, ${from ? `${clock(from, {seconds: true})}.${String(from % 1000).padStart(3, "0")}` : "unknown"}</th>
      <th scope="col" class="number">delivered</th><th scope="col" class="number">read</th><th scope="col" class="number">answered</th><th scope="col" class="came">how it came</th></tr></thead>
    <tbody><tr class="scale" aria-hidden="true"><td></td><td></td><td class="strip-cell"><svg class="strip" width=${WIDTH + 16} height="24" viewBox="-8 0 ${WIDTH + 16} 24">
      ${grid.map((x) => svg`<path class="grid" d="M${x} 20V24"></path>`)}
      ${marks.map(([ms, name], at) => svg`<text x=${place(ms)} y="15" text-anchor=${at === 0 ? "start" : at === last ? "end" : "middle"}>${name}</text>`)}</svg></td><td colspan="4"></td></tr>
    ${doc.recipients.map((step) => {
      const state = AS[step.state] ?? step.state, failed = state === "refused" || state === "expired";
      const names = html`<th scope="row"><a href=${path("s", step.to)}><bdi>${app.nameOf(step.to)}</bdi></a></th><td class="state">${icon(state)} ${state}</td>`;
      if (failed) return html`<tr class="fail">${names}<td colspan="5">${trouble(app, step, doc)} ${retry && isOne ? html`<button type="button" class="as-link" @click=${retry}>Send again to <bdi>${app.nameOf(step.to)}</bdi></button>` : nothing}</td></tr>`;
      return html`<tr>${names}<td class="strip-cell">${strip(step, from, now, place, grid)}</td><td class="number">${number(step.deliveredAt, true)}</td>
        <td class="number">${number(step.readAt, Boolean(step.deliveredAt))}</td><td class="number">${number(step.answeredAt, Boolean(step.readAt))}</td>
        <td class="came">${cameBy(step.deliveredVia ?? step.offeredVia, step.wokenBy) || waits(app, step)}</td></tr>`;
    })}</tbody></table></div>`;
}

/** The same in the narrow pane: a line for each receiver; for a single one, a line for each step. @param {App} app @param {Receipt} doc */
export function brief(app, doc) {
  const from = doc.createdAt ?? 0;
  const line = (/** @type {string} */ state, /** @type {unknown} */ who, /** @type {unknown} */ what, /** @type {string} */ when) => html`<li class=${["refused", "expired"].includes(state) ? "fail" : ""}>
    ${icon(state)}<bdi class="who">${who}</bdi><span class="what">${what}</span><span class="when">${when}</span></li>`;
  const [only] = doc.recipients;
  if (doc.recipients.length === 1 && !["refused", "expired", "failed"].includes(only.state)) {
    const steps = ["offered", "delivered", "read", "answered"].filter((name) => /** @type {any} */ (only)[`${name}At`]);
    return html`<ul class="brief">${line("accepted", app.nameOf(only.to), "accepted, on disk", from ? clock(from, {seconds: true}) : "")}${steps.map((name) => {
      const via = name === "delivered" || name === "offered" ? cameBy(/** @type {any} */ (only)[`${name}Via`], only.wokenBy) : "";
      return line(name, "", via ? `${name}, ${via}` : name, `+${delay(/** @type {any} */ (only)[`${name}At`] - from)}`);
    })}${steps.length ? nothing : line("", "", waits(app, only), "")}</ul>`;
  }
  const sorted = [...doc.recipients].sort((one, other) => ORDER.indexOf(AS[one.state] ?? one.state) - ORDER.indexOf(AS[other.state] ?? other.state));
  return html`<ul class="brief">${sorted.map((step) => {
    const state = AS[step.state] ?? step.state, at = step.answeredAt ?? step.readAt ?? step.deliveredAt ?? step.offeredAt;
    if (state === "refused" || state === "expired") return line(state, app.nameOf(step.to), `${state}: ${trouble(app, step, doc).replace(/:.*/, "")}`, "");
    return line(state, app.nameOf(step.to), state === "accepted" ? [state, waits(app, step)].filter(Boolean).join("; ") : state, at ? `+${delay(at - from)}` : "");
  })}</ul>`;
}
