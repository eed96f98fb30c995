// Shell: the frame around every view: sidebar, header, bars, the view, the composer, the detail pane, and the tabs.
// @ts-check
/** @import { App, View } from "./types.js" */
import { html, nothing } from "./vendor/lit-html/lit-html.js";
import { composer } from "./composer.js";
import { firstRun, login } from "./front_pages.js";
import { icon } from "./icons.js";
import { back, overlay } from "./keys.js";
import { tryNow } from "./live.js";
import { pane } from "./message_view.js";
import { sidebar, strip, tabs } from "./sidebar.js";
import { composes, isTop, viewOf, writes } from "./views.js";

const MINUTE = 60_000;

/** @param {App} app @param {View} view */
function header(app, view) {
  const { route, rights } = app.state;
  return html`<header class="head">
    ${isTop(route) ? nothing : html`<button class="tool back ${route.view === "message" ? "always" : ""}" aria-label="Back" title="Back (u)"
      @click=${() => back(app)}>${icon("chevron-left")}</button>`}
    <h1>${view.title(app)}</h1><div class="head-more">${view.header?.(app) ?? nothing}</div>
    ${route.view === "search" ? nothing : searchField(app)}
    ${writes(route) && rights !== "view" ? html`<button class="button write" @click=${() => app.compose()}>
      ${icon("write")}<span class="hidden">Write</span><span class="wide" aria-hidden="true">Write</span> <kbd aria-hidden="true">c</kbd></button>` : nothing}
  </header>`;
}

/** @param {App} app */
function searchField(app) {
  const find = (/** @type {KeyboardEvent} */ event) => {
    const field = /** @type {HTMLInputElement} */ (event.target);
    if (event.key !== "Enter" || event.isComposing) return;
    app.go(`/ui/search?q=${encodeURIComponent(field.value)}`);
    field.value = "";
  };
  return html`<label class="field search-field">${icon("search")}<input type="search" data-search
    aria-label="Search" placeholder="Search" @keydown=${find}><kbd>/</kbd></label>`;
}

/** What the person must know of the connection. @param {App} app */
function bars(app) {
  const { link } = app.state;
  const close = () => {
    link.gap = false;
    app.update();
  };
  if (link.state !== "lost") return link.gap ? html`<div class="bar">${icon("warn")}<p class="grow">Some of what happened while you were away
    is not in the log any more. The list was read again.</p><button class="tool" aria-label="Close" @click=${close}>${icon("x")}</button></div>` : nothing;
  const left = Math.ceil((link.retryAt - Date.now()) / 1_000);
  return html`<div class="bar lost">${icon("away")}<p class="grow"><b>Not connected since ${new Date(link.since).toTimeString().slice(0, 8)}.</b>
    ${link.reason === "broker" ? "The broker is away; the page tries again." : nothing} Mail and states are as they were then.
    ${left > 0 ? `Trying again in ${left} s.` : nothing}${Date.now() - link.since > MINUTE ? html` Start it with <code>maestro up</code>.` : nothing}</p>
    <button class="button" @click=${() => tryNow(app)}>Try now</button></div>`;
}

/** A view that fails must not take the page with it. @param {() => unknown} draw */
function safely(draw) {
  try {
    return draw();
  } catch (error) {
    console.error(error);
    return html`<div class="scroll front"><p class="fail">This part of the page has failed: ${String(error)}</p></div>`;
  }
}

/** @param {App} app */
export function shell(app) {
  const { state } = app;
  if (state.needsLogin) return login(app);
  const view = viewOf(state.route);
  const isFirstRun = state.route.view === "all" && state.ready && !state.anyMail && state.sessions.size === 0;
  const hasPane = state.pane !== null && composes(state.route);
  const hasLine = state.rights !== "view" && !isFirstRun && (composes(state.route) || state.compose);
  return html`<button class="skip button" @click=${() => document.getElementById("main")?.focus()}>Go to the mail</button>
    <div class="layout ${hasPane ? "has-pane" : ""}">
      ${sidebar(app)}
      <main class="main view-${state.route.view}" id="main" tabindex="-1">
        ${safely(() => header(app, view))}${bars(app)}${strip(app)}
        <div class="view">${isFirstRun ? firstRun(app) : safely(() => view.render(app))}</div>
        ${hasLine ? safely(() => composer(app)) : nothing}
      </main>
      ${hasPane ? html`<aside class="pane" aria-label="Message">${safely(() => pane(app, state.pane ?? ""))}</aside>` : nothing}
      ${tabs(app)}
    </div>
    ${overlay(app)}<p class="hidden" role="status">${state.notice}</p>`;
}
