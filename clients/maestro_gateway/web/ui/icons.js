// Icons: the page's own strokes on a grid of 16 px, in the colour of the text around them.
// @ts-check
import { html } from "./vendor/lit-html/lit-html.js";

/**
 * For each name: the strokes, the filled shapes, and the shapes that are cut out of them.
 * @type {Record<string, [string, string?, string?]>}
 */
const PATHS = {
  mark: ["M2 12.5V3.5L8 8.5L14 3.5V12.5Z"], all: ["M2.5 4H13.5M2.5 8H13.5M2.5 12H9"],
  inbox: ["M4.2 3H11.8L14 8.5V13H2V8.5ZM2 9H5.2C5.5 10.2 6.5 11 8 11S10.5 10.2 10.8 9H14"], thread: ["M3.5 2.5V11Q3.5 12 4.5 12H13M3.5 6.5H12"],
  group: ["M3.3 5.2A2.7 2.7 0 1 0 8.7 5.2A2.7 2.7 0 1 0 3.3 5.2M1.5 13.2C1.5 10.7 3.5 9.4 6 9.4S10.5 10.7 10.5 13.2M10.7 2.8A2.6 2.6 0 0 1 10.9 7.6M12 9.9C13.6 10.4 14.5 11.6 14.5 13.2"],
  search: ["M2.5 7A4.5 4.5 0 1 0 11.5 7A4.5 4.5 0 1 0 2.5 7M10.3 10.3L13.8 13.8"],
  write: ["M2.5 13.5L3.3 10.3L10.9 2.7Q11.6 2 12.3 2.7L13.3 3.7Q14 4.4 13.3 5.1L5.7 12.7ZM9.6 4L12 6.4"], stats: ["M3 9.5V13.5M8 2.5V13.5M13 6V13.5"],
  health: ["M1.5 8H4L6.2 3.5L9.6 12.5L11.6 8H14.5"], reply: ["M6 3L2.5 6.5L6 10M2.5 6.5H9.5Q13.5 6.5 13.5 10.5V12.5"],
  arrow: ["M2.5 8H13.5M9.5 4L13.5 8L9.5 12"], both: ["M2 5.5H14M11 2.5L14 5.5M14 10.5H2M5 13.5L2 10.5"],
  clip: ["M13.3 7.2L8 12.5A3.2 3.2 0 0 1 3.4 7.9L8.8 2.6A2.1 2.1 0 0 1 11.8 5.6L6.5 10.9A1 1 0 0 1 5 9.4L9.8 4.6"],
  copy: ["M5.5 5.5H13.5V13.5H5.5ZM10.5 5.5V2.5H2.5V10.5H5.5"],
  retry: ["M13.4 8A5.4 5.4 0 1 1 11.6 4L13.3 5.6M13.4 2.2V5.7H9.9"], filter: ["M2 4H14M4.5 8H11.5M6.5 12H9.5"],
  bang: ["M5.2 2.8V9.2M10.8 2.8V9.2M5.2 12.9V13M10.8 12.9V13"], warn: ["M8 2.3L14.5 13.3H1.5ZM8 6.6V9.4M8 11.4V11.5"],
  check: ["M2.8 8.4L6.3 12L13.2 4.3"], x: ["M3.5 3.5L12.5 12.5M12.5 3.5L3.5 12.5"],
  live: ["M4 3.6A6.2 6.2 0 0 0 4 12.4M12 3.6A6.2 6.2 0 0 1 12 12.4", "M5.9 8A2.1 2.1 0 1 0 10.1 8A2.1 2.1 0 1 0 5.9 8"],
  away: ["M4 3.6A6.2 6.2 0 0 0 4 12.4M12 3.6A6.2 6.2 0 0 1 12 12.4M13.5 1.5L2.5 14.5"],
  theme: ["M2.3 8A5.7 5.7 0 1 0 13.7 8A5.7 5.7 0 1 0 2.3 8", "M8 2.3A5.7 5.7 0 0 1 8 13.7Z"],
  keys: ["M5.3 5.4C5.3 3.7 6.5 2.8 8 2.8S10.7 3.7 10.7 5.2C10.7 7.2 8 7.3 8 9.4M8 12.8V12.9"],
  more: ["", "M2 8A1.2 1.2 0 1 0 4.4 8A1.2 1.2 0 1 0 2 8M6.8 8A1.2 1.2 0 1 0 9.2 8A1.2 1.2 0 1 0 6.8 8M11.6 8A1.2 1.2 0 1 0 14 8A1.2 1.2 0 1 0 11.6 8"],
  "chevron-down": ["M3.5 6L8 10.5L12.5 6"], "chevron-right": ["M6 3.5L10.5 8L6 12.5"],
  "chevron-left": ["M10 3.5L5.5 8L10 12.5"], checkbox: ["M2.8 2.8H13.2V13.2H2.8Z"], "checkbox-on": ["M2.8 2.8H13.2V13.2H2.8ZM5 8.2L7.3 10.6L11.2 5.6"],
  waiting: ["", "M8 .8L15.2 8L8 15.2L.8 8Z", "M8 4.6V8.4M8 11.2V11.3"], working: ["", "M3.5 2.5L13.5 8L3.5 13.5Z"],
  watching: ["M1.3 8C3 5.2 5.2 3.8 8 3.8S13 5.2 14.7 8C13 10.8 10.8 12.2 8 12.2S3 10.8 1.3 8", "M6.2 8A1.8 1.8 0 1 0 9.8 8A1.8 1.8 0 1 0 6.2 8"],
  idle: ["M5 3.5V12.5M11 3.5V12.5"], unknown: ["M5.3 5.4C5.3 3.7 6.5 2.8 8 2.8S10.7 3.7 10.7 5.2C10.7 7.2 8 7.3 8 9.4M8 12.8V12.9"],
  gone: ["M2 8A6 6 0 1 0 14 8A6 6 0 1 0 2 8M3.8 3.8L12.2 12.2"], ended: ["M3 3H13V13H3Z"],
  accepted: ["M3.75 8A4.25 4.25 0 1 0 12.25 8A4.25 4.25 0 1 0 3.75 8"],
  offered: ["M3.75 8A4.25 4.25 0 1 0 12.25 8A4.25 4.25 0 1 0 3.75 8", "M8 3.75A4.25 4.25 0 0 0 8 12.25A8 8 0 0 1 8 3.75"],
  delivered: ["M3.75 8A4.25 4.25 0 1 0 12.25 8A4.25 4.25 0 1 0 3.75 8", "M8 3.75A4.25 4.25 0 0 0 8 12.25Z"],
  read: ["", "M3 8A5 5 0 1 0 13 8A5 5 0 1 0 3 8"], answered: ["", "M3 7.6A5 5 0 1 1 8 12.6Q5.8 12.6 2.6 13.8Q3.8 11.6 3.6 10.2A5 5 0 0 1 3 7.6"],
  refused: ["M4.3 4.3L11.7 11.7M11.7 4.3L4.3 11.7"], expired: ["M4.3 4.3L11.7 11.7M11.7 4.3L4.3 11.7"], deleted: ["M4 8H12"],
};
const MOONS = new Set(["accepted", "offered", "delivered", "read", "answered", "refused", "expired", "deleted"]);

/**
 * An icon. A word beside it, or the name of its button, says what it means: so it is hidden from screen readers.
 * @param {string} name A name above: of a thing, of a session's state, or of a receipt.
 */
export function icon(name) {
  const [lines, fill = "", cut = ""] = PATHS[name] ?? PATHS.unknown;
  const box = MOONS.has(name) ? "2 2 12 12" : "0 0 16 16";
  return html`<svg class="icon i-${name}${box[0] === "2" ? " moon" : ""}" viewBox=${box} aria-hidden="true" focusable="false"
    ><path class="fill" d=${fill}></path><path class="stroke" d=${lines}></path><path class="cut" d=${cut}></path></svg>`;
}

/**
 * The same strokes inside a drawing of another size, such as a chart.
 * @param {string} name
 * @returns {{lines: string, fill: string}}
 */
export function paths(name) {
  const [lines, fill = ""] = PATHS[name] ?? PATHS.unknown;
  return { lines, fill };
}
