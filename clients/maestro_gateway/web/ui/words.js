// Words: times, sizes and names as the page writes them. Everything here is pure.
// @ts-check

const SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR;
const two = (/** @type {number} */ number) => String(number).padStart(2, "0");

/**
 * The time of day on this machine: `14:08`, or `14:08:31`.
 * @param {number} at ms
 * @param {{seconds?: boolean}} [how]
 */
export function clock(at, { seconds = false } = {}) {
  const time = new Date(at);
  return `${two(time.getHours())}:${two(time.getMinutes())}${seconds ? `:${two(time.getSeconds())}` : ""}`;
}

/** The same for a `<time>` element. @param {number} at ms */
export const stamp = (at) => new Date(at).toISOString();

/** How long a state holds: `4m`, `2h`, `3d`; empty under a minute. @param {number} ms */
export function age(ms) {
  if (ms < MINUTE) return "";
  return ms < HOUR ? `${Math.floor(ms / MINUTE)}m` : ms < 2 * DAY ? `${Math.floor(ms / HOUR)}h` : `${Math.floor(ms / DAY)}d`;
}

/** How long ago something was, in a sentence. @param {number} ms */
export function ago(ms) {
  const units = { m: "min", h: "h", d: "days" };
  return ms < MINUTE ? "just now" : age(ms).replace(/\D/, (unit) => ` ${units[/** @type {"m"|"h"|"d"} */ (unit)]} ago`);
}

/** A measured time: `0.2 s`, `9 s`, `1 m 52 s`, `3 h 5 m`. @param {number} ms */
export function delay(ms) {
  if (ms < 95) return "< 0.1 s";
  if (ms < SECOND) return `${(ms / SECOND).toFixed(1)} s`;
  const pair = (/** @type {number} */ big, /** @type {string} */ name, /** @type {number} */ small, /** @type {string} */ rest) => {
    const [whole, part] = [Math.floor(ms / big), Math.floor((ms % big) / small)];
    return part ? `${whole} ${name} ${part} ${rest}` : `${whole} ${name}`;
  };
  if (ms < MINUTE) return `${Math.floor(ms / SECOND)} s`;
  return ms < HOUR ? pair(MINUTE, "m", SECOND, "s") : ms < DAY ? pair(HOUR, "h", MINUTE, "m") : pair(DAY, "d", HOUR, "h");
}

/** A delay of which the first unit is enough: `+5 m`. @param {number} ms */
export const roughly = (ms) => ms < SECOND ? "at once" : `+${delay(ms).split(" ").slice(0, 2).join(" ")}`;

/** @param {number} at ms @param {number} now ms */
export function dayHeading(at, now) {
  const midnight = new Date(now).setHours(0, 0, 0, 0);
  if (at >= midnight) return "Today";
  if (at >= midnight - DAY) return "Yesterday";
  const isOld = now - at > 300 * DAY;
  return new Date(at).toLocaleDateString("en-GB", { weekday: "long", day: "numeric", month: "long", ...(isOld ? { year: "numeric" } : {}) });
}

/** The key of a day on this machine. @param {number} at ms */
export const dayOf = (at) => new Date(at).setHours(0, 0, 0, 0);

/** @param {number} size */
export function bytes(size) {
  const units = ["bytes", "KiB", "MiB", "GiB"];
  let unit = 0;
  for (; size >= 1024 && unit < 3; unit += 1) size /= 1024;
  return `${unit === 0 || size >= 10 ? Math.round(size) : size.toFixed(1)} ${size === 1 && unit === 0 ? "byte" : units[unit]}`;
}

/** `1 message`, `7,000 messages`. @param {number} number @param {string} word */
export const counted = (number, word) => `${number.toLocaleString("en-US")} ${word}${number === 1 ? "" : "s"}`;

/**
 * How a message was shown, in words: `hook: PostToolUse`, `woken, Stop`, `inbox`.
 * @param {string | undefined} via @param {string} [wokenBy]
 */
export function cameBy(via, wokenBy) {
  const name = via?.startsWith("hook:") ? via.split(":").pop() : undefined;
  if (wokenBy) return `woken, ${name ?? via ?? wokenBy}`;
  return name === undefined ? via ?? "" : `hook: ${name}`;
}

/** The broker's message and its next step as sentences: its message has no full stop. @param {{message: string, hint?: string}} error */
export const refusalWords = ({ message, hint = "" }) => `${fullStop(message)} ${hint}`.trim();

/** @param {string} message */
export const fullStop = (message) => /[.?!…]$/.test(message) ? message : `${message}.`;
