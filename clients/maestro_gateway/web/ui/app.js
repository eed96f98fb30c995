/* App: starts the page. */
/** @import {App} from './types.js' */
import {render} from './vendor/lit-html/lit-html.js';
import {makeApi} from './api.js';
import {parse} from './router.js';
import {shell, viewOf} from './shell.js';
import {makeApp} from './store.js';

const root = /** @type {HTMLElement} */ (document.getElementById('app'));
root.replaceChildren();

/** @param {App} app */
const draw = (app) => render(shell(app), root);

/**
 * @param {App} app
 * @param {string} path
 * @param {boolean} replace
 */
function navigate(app, path, replace) {
  history[replace ? 'replaceState' : 'pushState'](null, '', path);
  arrive(app);
}

/** @param {App} app */
function arrive(app) {
  viewOf(app.state.route).leave(app);
  app.state.route = parse(new URL(location.href));
  viewOf(app.state.route).enter(app, app.state.route);
  app.update();
}

const app = makeApp(makeApi(() => app.update()), draw, navigate);
addEventListener('popstate', () => arrive(app));
viewOf(app.state.route).enter(app, app.state.route);
app.update();
