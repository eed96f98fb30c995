// Notify: who waits, in the title, the icon of the tab, and, if the person wants it, the system's notifications.
// @ts-check
/** @import { App } from "./types.js" */
import { wanted } from "./roster.js";
import { path } from "./router.js";
import { OPERATOR } from "./store.js";

const SETTING = "maestro.notify";
const SHOWN_MAX = 9;
const TEXT_MAX = 160;

export const isOn = () => localStorage.getItem(SETTING) === "on" && Notification.permission === "granted";

/** Ask the person for the permission, or end it. @param {App} app */
export async function toggle(app) {
  if (isOn()) localStorage.removeItem(SETTING);
  else if ((await Notification.requestPermission()) === "granted") localStorage.setItem(SETTING, "on");
  app.update();
}

/** The title and the icon. They count what a person must do, and never the traffic. @param {App} app @param {string} page The view's title. */
export function mark(app, page) {
  const { link, waits } = app.state;
  const names = [...new Set(waits.map(({ session }) => app.nameOf(session)))];
  const few = names.length > 3 ? `${names.slice(0, 3).join(", ")} and ${names.length - 3} more` : names.join(", ");
  let [what, name] = [page, "favicon"];
  if (link.state === "lost") [what, name] = ["not connected", "favicon-away"];
  else if (waits.length) {
    what = `(${waits.length}) ${few} ${names.length > 1 ? "wait" : "waits"}`;
    name = `favicon-${waits.length > SHOWN_MAX ? "more" : waits.length}`;
  }
  const [title, href] = [`${what} · maestro`, `/web/ui/icons/${name}.svg`];
  if (document.title !== title) document.title = title;
  const icon = /** @type {HTMLLinkElement} */ (document.querySelector("link[rel=icon]"));
  if (icon.getAttribute("href") !== href) icon.setAttribute("href", href);
}

/** @param {App} app @param {string} title @param {string} body @param {string} to */
function show(app, title, body, to) {
  if (!isOn() || !document.hidden) return;
  const note = new Notification(title, { body: body.slice(0, TEXT_MAX), tag: to, icon: "/web/ui/icons/favicon.svg" });
  note.onclick = () => {
    window.focus();
    app.go(to);
    note.close();
  };
}

/** Mail between agents raises nothing. @param {App} app */
export function watch(app) {
  app.on("message", ({ message }) => {
    if (message?.to !== OPERATOR) return;
    app.state.notice = `New mail from ${app.nameOf(message.from)}.`;
    show(app, `${app.nameOf(message.from)} wrote to you`, message.message, path("m", message.id));
  });
  app.on("presence", ({ id = "" }) => {
    const { state = "", detail: said = "" } = app.state.sessions.get(id)?.presence ?? {};
    if (state !== "waiting") return;
    const { kind, detail } = wanted(said);
    show(app, `${app.nameOf(id)} waits for you`, detail ? `${kind}: ${detail}` : kind, path("s", id));
  });
  app.on("receipt", ({ status, message, to = "" }) => {
    if (status === "expired" && message) show(app, `A message to ${app.nameOf(to)} expired`, message.message, path("m", message.id));
  });
}
