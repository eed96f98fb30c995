// Front pages: what stands in place of mail: the first run, the login, and the pages that only a small screen has.
// @ts-check
/** @import { App, View } from "./types.js" */
import { html, nothing } from "./vendor/lit-html/lit-html.js";
import { icon } from "./icons.js";
import { linkWord, lowPlaces, people, places, projectChoice, staleness, switches } from "./sidebar.js";

const COPIED_MS = 2_000;
let copied = "";

/** A command with a button that copies it. @param {App} app @param {string} text */
export function command(app, text) {
  const say = (/** @type {string} */ what) => {
    copied = what;
    app.state.notice = what && "Copied.";
    app.update();
  };
  const copy = () => navigator.clipboard.writeText(text).then(() => {
    say(text);
    window.setTimeout(say, COPIED_MS, "");
  });
  return html`<span class="command"><code>${text}</code><button class="tool" aria-label="Copy the command" title="Copy"
    @click=${copy}>${icon(copied === text ? "check" : "copy")}</button></span>`;
}

/** @param {App} app */
export const firstRun = (app) => html`<div class="scroll front"><h2 class="big">No sessions yet</h2>
  <p>A session is an address for one agent. When two agents have one, their mail appears here as it is sent, and you see
    who works and who waits for you.</p>
  <ol class="steps">
    <li><p><b>Let your agents’ mail come by itself</b>, once for each kind of agent</p>${command(app, "maestro hooks install claude-code")}</li>
    <li><p><b>In the terminal of the agent that leads</b>, before you start it</p>
      ${command(app, 'eval "$(maestro session start --name lead --role orchestrator --export)"')}</li>
    <li><p><b>In each other terminal</b></p>${command(app, 'eval "$(maestro session start --name ann --export)"')}</li>
  </ol>
  <p>Or look first: ${command(app, "maestro demo")} plays a day at the post office in 20 seconds.</p></div>`;

/** @param {App} app */
export const login = (app) => html`<main class="scroll front"><h1 class="big">This page needs a login</h1>
  <p>Run this command on the machine of the post office. It opens the page with a code that works once, within a minute.</p>
  <p>${command(app, "maestro ui")}</p>${app.state.refusal ? html`<p class="fail">${app.state.refusal}</p>` : nothing}</main>`;

const still = { enter: () => {}, leave: () => {} };

/** @type {View} */
export const sessions = {
  ...still, title: () => "Sessions", header: (app) => html`<span class="actions">${linkWord(app)}</span>`,
  render: (app) => html`<div class="scroll side-page ${staleness(app)}">${people(app)}</div>`,
};

/** @type {View} */
export const more = {
  ...still, title: () => "More",
  render: (app) => html`<div class="scroll side-page">${places(app)}<ul>${lowPlaces(app)}</ul>
    <div class="foot-line">${projectChoice(app)}<span class="grow"></span>${linkWord(app)}${switches(app)}</div></div>`,
};

/** @type {View} */
export const missing = {
  ...still, title: () => "No such page",
  render: () => html`<div class="scroll front"><p>This address is no page.</p><p><a href="/ui/">All mail</a></p></div>`,
};
