// Store: the state of the page, and the frame that draws it. Events come at any rate; one frame draws them all.
// @ts-check
/** @import { Api, App, EventDetail, EventName, State } from "./types.js" */
import { parse, path } from "./router.js";

export const OPERATOR = "operator";
/** The sender of the post office's own notices. */
export const SYSTEM = "maestro";

/** @returns {State} */
const firstState = () => ({
  route: parse(new URL(location.href)), now: Date.now(), access: { rights: "", login: false, version: "", dataDir: "", user: "" }, rights: "",
  link: { state: "connecting", since: Date.now(), retryAt: 0, reason: "", gap: false },
  sessions: new Map(), groups: new Map(), people: new Map(), waits: [], inboxUnread: 0, project: sessionStorage.getItem("maestro.project") ?? "",
  keysOn: localStorage.getItem("maestro.keys") !== "off", keysShown: false, pane: null, compose: null, health: 0, mailboxMax: 0, anyMail: true,
  ready: false, needsLogin: false, refusal: "", notice: "",
});

/**
 * @param {(learn: (people: Record<string, {name?: string, role: string}>) => void) => Api} makeApi
 * @param {(app: App) => void} draw Renders the whole page from the state.
 * @param {(app: App, path: string, replace: boolean) => void} navigate
 * @returns {App}
 */
export function makeApp(makeApi, draw, navigate) {
  const state = firstState();
  let asked = false;
  /** @type {Map<EventName, Set<(detail: EventDetail) => void>>} */
  const listeners = new Map();
  /** @type {App} */
  const app = {
    state,
    api: makeApi((people) => Object.entries(people).forEach(([id, person]) => state.people.set(id, person))),
    update() {
      if (asked) return;
      asked = true;
      // A hidden tab has no frames: what came meanwhile is drawn once, when the person looks at it.
      requestAnimationFrame(() => {
        asked = false;
        draw(app);
      });
    },
    go: (to, replace = false) => navigate(app, to, replace),
    on(name, fn) {
      const fns = listeners.get(name) ?? new Set();
      listeners.set(name, fns.add(fn));
      return () => void fns.delete(fn);
    },
    emit(name, detail) {
      [...(listeners.get(name) ?? [])].forEach((fn) => fn(detail));
      app.update();
    },
    compose({ to = [], replyTo = null } = {}) {
      if (replyTo?.from === SYSTEM) return; // Its notices have no answer.
      if (state.rights === "view") return;
      state.compose = { to, text: "", type: "", priority: "", requiresAck: false, replyTo, attachments: [] };
      app.update();
    },
    openMessage(id) {
      if (!matchMedia("(min-width: 1200px)").matches) return app.go(path("m", id));
      state.pane = id;
      app.update();
    },
    nameOf: (id) => (id === OPERATOR ? "you" : id === SYSTEM ? "the post office" : state.sessions.get(id)?.session.name || state.people.get(id)?.name || id),
  };
  return app;
}

/** Ask again for what could not be read, each time that the connection is back. Returns how to end that.
 * @param {App} app @param {() => unknown} again */
export const whenBack = (app, again) => app.on("link", () => void (app.state.link.state === "live" && again()));
