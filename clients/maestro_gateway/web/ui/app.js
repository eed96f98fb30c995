// App: starts the page: the login, the connection, the first view, and one frame for all that changes.
// @ts-check
/** @import { ApiError, App } from "./types.js" */
import { render } from "./vendor/lit-html/lit-html.js";
import { makeApi, token } from "./api.js";
import * as keys from "./keys.js";
import * as live from "./live.js";
import * as notify from "./notify.js";
import { parse } from "./router.js";
import { shell } from "./shell.js";
import { makeApp } from "./store.js";
import { viewOf } from "./views.js";

const root = /** @type {HTMLElement} */ (document.getElementById("app"));
let isAdmitted = false;
let isEntered = false;
let wentElsewhere = false;

/** @param {App} app */
const mark = (app) => notify.mark(app, app.state.needsLogin ? "Login" : viewOf(app.state.route).title(app));

/** @param {App} app */
function draw(app) {
  const { state } = app;
  if (!isAdmitted) return; // what the page may do decides what it shows
  render(shell(app), root);
  mark(app);
  // What had the focus may be gone with the view before.
  if (wentElsewhere && document.activeElement === document.body) document.getElementById("main")?.focus({ preventScroll: true });
  wentElsewhere = false;
  document.documentElement.toggleAttribute("data-ready", state.needsLogin || (isEntered && state.ready));
}

/** Show the view of the address. @param {App} app */
async function arrive(app) {
  const route = (app.state.route = parse(new URL(location.href)));
  isEntered = false;
  wentElsewhere = true;
  app.update();
  await (async () => viewOf(route).enter(app, route))().catch(console.error);
  if (app.state.route === route) isEntered = true;
  app.update();
}

/** @param {App} app @param {string} path @param {boolean} replace */
function navigate(app, path, replace) {
  if (path === app.state.route.path) return;
  viewOf(app.state.route).leave(app);
  app.state.pane = null;
  history[replace ? "replaceState" : "pushState"]({ inside: !replace || history.state?.inside }, "", path);
  void arrive(app);
}

/** A link of the page changes the view; with a key held, the browser does what it does. @param {App} app @param {MouseEvent} event */
function clicked(app, event) {
  const link = event.target instanceof Element ? event.target.closest("a") : null;
  if (!link || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  if (link.target || link.hasAttribute("download") || link.origin !== location.origin || !/^\/ui(\/|$)/.test(link.pathname)) return;
  event.preventDefault();
  app.go(link.pathname + link.search);
}

/** Trade the code of the address for a token. @param {App} app @param {string} code */
async function trade({ state, api }, code) {
  history.replaceState(null, "", location.pathname + location.search);
  const { token: given } = await api.post("/ui/login", { code }).catch((/** @type {ApiError} */ { message }) => ({ token: "", message: (state.refusal = message) }));
  token.set(given);
}

/** Ask what this page may do. @param {App} app */
async function admit({ state, api }) {
  try {
    state.access = await api.get("/ui/session");
    state.rights = state.access.rights;
  } catch (error) {
    const { status } = /** @type {ApiError} */ (error);
    state.needsLogin = status === 401 || status === 403;
  }
  isAdmitted = true;
  app.update();
}

const refused = () => {
  token.set("");
  app.state.needsLogin = true;
  app.update();
};
export const app = makeApp((learn) => makeApi(refused, learn), draw, navigate);
root.replaceChildren(); // the words for a browser without JavaScript
const code = new URLSearchParams(location.hash.slice(1)).get("code");
if (code) await trade(app, code);
keys.listen(app);
notify.watch(app);
document.addEventListener("click", (event) => clicked(app, event));
addEventListener("popstate", () => {
  viewOf(app.state.route).leave(app);
  app.state.pane = null;
  void arrive(app);
});
// A hidden tab draws no frames, but its title and its icon say who waits.
for (const name of /** @type {const} */ (["presence", "message", "link"])) app.on(name, () => document.hidden && mark(app));
// All at once: where a login is needed, each answer says so.
void admit(app);
void live.start(app);
void arrive(app);
