// Keys: single keys for all that the page does often, and the list of them. They are off while one types.
// @ts-check
/** @import { App } from "./types.js" */
import { html, nothing } from "./vendor/lit-html/lit-html.js";
import { ref } from "./vendor/lit-html/directives/ref.js";
import { icon } from "./icons.js";
import * as notify from "./notify.js";
import { path } from "./router.js";
import { viewOf } from "./views.js";

const SEQUENCE_MS = 1_500;
/** @type {Record<string, string>} */
const PLACES = { a: "/ui/", i: "/ui/inbox", t: "/ui/threads", s: "/ui/stats", h: "/ui/health" };
const LIST = [
  ["/", "Search"], ["c", "Write"], ["j k", "Next, previous"], ["Enter", "Open the message"], ["o", "Show all of it in its place"],
  ["u", "Back, up"], ["r", "Reply"], ["t", "Its thread"], ["n", "Next that waits for you"], ["End", "The newest"],
  ["g a", "All"], ["g i", "Your inbox"], ["g t", "Threads"], ["g s", "Stats"], ["g h", "Health"],
  ["Esc", "Close, leave the field"], ["Ctrl Enter", "Send (on a Mac also ⌘ Enter)"], ["?", "This list"],
];
let goesUntil = 0;

/** @param {EventTarget|null} target */
const isField = (target) => target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));

/** Go to the row that is so far from the row in focus. @param {number} step */
function move(step) {
  const rows = /** @type {HTMLElement[]} */ ([...document.querySelectorAll(".view [data-row]")]);
  const at = rows.findIndex((row) => row.contains(document.activeElement));
  const next = rows[at < 0 ? (step > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, at + step))];
  next?.focus({ preventScroll: true });
  next?.scrollIntoView({ block: "nearest" });
}

/** The next one of those that wait. @param {App} app */
function nextWaiting(app) {
  const paths = app.state.waits.map(({ session, message }) => (message ? path("m", message.id) : path("s", session)));
  if (paths.length) app.go(paths[(paths.indexOf(app.state.route.path) + 1) % paths.length]);
}

/** @param {App} app */
export function back(app) {
  if (app.state.pane) app.state.pane = null;
  else if (history.state?.inside) history.back();
  else app.go("/ui/");
  app.update();
}

/** @type {Record<string, (app: App) => void>} */
const EVERYWHERE = {
  "/": () => /** @type {HTMLElement|null} */ (document.querySelector("[data-search]"))?.focus(),
  c: (app) => app.compose(), j: () => move(1), k: () => move(-1), u: back, n: nextWaiting,
  g: () => void (goesUntil = Date.now() + SEQUENCE_MS),
  "?": (app) => void (app.state.keysShown = true),
  Enter: (app) => app.openMessage(document.activeElement?.getAttribute("data-row") ?? ""),
};

/** @param {App} app @param {KeyboardEvent} event */
function pressed(app, event) {
  const { key, target } = event;
  const { state } = app;
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (key === "Escape") {
    if (state.keysShown) state.keysShown = false;
    else if (isField(target)) /** @type {HTMLElement} */ (target).blur();
    else state.pane = null;
    return app.update();
  }
  if (isField(target) || state.keysShown || !(state.keysOn || ["Enter", "End", "?"].includes(key))) return;
  let run = viewOf(state.route).keys?.[key] ?? EVERYWHERE[key];
  if (Date.now() < goesUntil && PLACES[key]) run = () => app.go(PLACES[key]);
  goesUntil = 0;
  // A button or a link in focus keeps its own Enter.
  if (!run || (key === "Enter" && !document.activeElement?.matches(".view [data-row]"))) return;
  event.preventDefault();
  run(app);
  app.update();
}

/** @param {App} app */
export const listen = (app) => document.addEventListener("keydown", (event) => pressed(app, event));

/** Show the dialog as soon as it is in the document. @param {Element} [dialog] */
const modal = (dialog) => queueMicrotask(() => dialog?.isConnected && /** @type {HTMLDialogElement} */ (dialog).showModal());

/** The list of keys, and the settings. @param {App} app */
export function overlay(app) {
  const { state } = app;
  if (!state.keysShown) return nothing;
  const set = (/** @type {Partial<typeof state>} */ change) => {
    Object.assign(state, change);
    localStorage.setItem("maestro.keys", state.keysOn ? "on" : "off");
    app.update();
  };
  const close = () => set({ keysShown: false });
  return html`<dialog class="keys" ${ref(modal)} aria-labelledby="keys-title" @close=${close}
    @click=${(/** @type {Event} */ event) => event.target === event.currentTarget && close()}><div class="keys-body">
      <header><h2 id="keys-title">Keys</h2><button class="tool" aria-label="Close" @click=${close}>${icon("x")}</button></header>
      <dl>${LIST.map(([key, what]) => html`<div><dt>${key.split(" ").map((part) => html`<kbd>${part}</kbd>`)}</dt><dd>${what}</dd></div>`)}</dl>
      <label><input type="checkbox" .checked=${state.keysOn} @change=${() => set({ keysOn: !state.keysOn })}> Single keys are on</label>
      <label><input type="checkbox" .checked=${notify.isOn()} @change=${() => notify.toggle(app)}>
        Notify me when a session waits, when mail comes to me, and when a message expires</label>
    </div></dialog>`;
}
