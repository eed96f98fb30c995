/* Store: the state of the page, and the frame that draws it. Events come in at any rate; one frame draws them all. */
/** @import {Api, App, EventDetail, EventName, Message, State} from './types.js' */
import {parse} from './router.js';

export const OPERATOR = 'operator';
const MINUTE = 60_000;

/** @returns {State} */
function firstState() {
  return {
    route: parse(new URL(location.href)), now: Math.floor(Date.now() / MINUTE) * MINUTE,
    link: {state: 'connecting', since: Date.now(), retryAt: 0, reason: '', gap: false},
    access: {rights: '', login: false, version: '', dataDir: '', user: ''},
    sessions: new Map(), groups: new Map(), waits: [], inboxUnread: 0,
    project: sessionStorage.getItem('maestro.project') ?? '', rights: '',
    keysOn: localStorage.getItem('maestro.keys') !== 'off', keysShown: false, menu: '',
    pane: null, compose: null, health: 0, mailboxMax: 0, ready: false, notice: '',
  };
}

/**
 * @param {Api} api
 * @param {(app: App) => void} draw Renders the whole page from the state.
 * @param {(app: App, path: string, replace: boolean) => void} navigate
 * @returns {App}
 */
export function makeApp(api, draw, navigate) {
  let asked = false;
  /** @type {Map<EventName, Set<(detail: EventDetail) => void>>} */
  const listeners = new Map();
  /** @type {App} */
  const app = {
    state: firstState(),
    api,
    update() {
      if (asked) return;
      asked = true;
      // A hidden tab has no frames: what came meanwhile is drawn once, when it is looked at.
      requestAnimationFrame(() => {
        asked = false;
        draw(app);
      });
    },
    go: (path, replace = false) => navigate(app, path, replace),
    on(name, fn) {
      const fns = listeners.get(name) ?? new Set();
      listeners.set(name, fns.add(fn));
      return () => fns.delete(fn);
    },
    emit(name, detail) {
      for (const fn of listeners.get(name) ?? []) fn(detail);
      app.update();
    },
    compose({to = [], replyTo = null} = {}) {
      if (app.state.rights === 'view') return;
      app.state.compose = {to, text: '', type: '', priority: '', requiresAck: false, replyTo, attachments: []};
      app.update();
    },
    openMessage(id) {
      if (matchMedia('(min-width: 1200px)').matches) {
        app.state.pane = id;
        app.update();
      } else {
        app.go(`/ui/m/${encodeURIComponent(id)}`);
      }
    },
    nameOf: (id) => (id === OPERATOR ? 'you' : app.state.sessions.get(id)?.session.name || id),
  };
  return app;
}

/**
 * Whether a message asks for an answer.
 * @param {Message} message
 */
export const asks = (message) => message.metadata?.type === 'request' || message.metadata?.requiresResponse === true;
