// Uploads: the files of a message on their way to the post office, each with its progress.
// @ts-check
/** @import {App} from './types.js' */
/** @import {Work} from './composer.js' */
import {html, nothing} from './vendor/lit-html/lit-html.js';
import {token} from './api.js';
import {status} from './health_view.js';
import {icon} from './icons.js';
import {bytes, refusalWords} from './words.js';

/** @typedef {{name: string, size: number, type: string, sha256: string, done: number, error: string, request?: XMLHttpRequest}} Upload */

const KNOWN = {attachment_bytes_max: 10 << 20, attachments_max: 16, message_attachments_bytes_max: 25 << 20};

/** @param {App} app */
async function limits(app) {
  const {limits: found = {}} = await status(app).catch(() => ({}));
  return /** @type {typeof KNOWN} */ (Object.fromEntries(Object.entries(KNOWN).map(([name, value]) => [name, found[name]?.value ?? value])));
}

/** Why this file can't be sent with the others, or ''. @param {Work} work @param {File} file @param {typeof KNOWN} limit */
function refusal(work, file, limit) {
  const whole = work.files.reduce((sum, each) => sum + (each.error ? 0 : each.size), 0);
  if (file.size > limit.attachment_bytes_max) return `The file has ${bytes(file.size)}, and one file may have ${bytes(limit.attachment_bytes_max)}.`;
  if (work.files.filter((each) => !each.error).length > limit.attachments_max) return `A message may have ${limit.attachments_max} files.`;
  return whole > limit.message_attachments_bytes_max ? `The files have ${bytes(whole)}, and one message may have ${bytes(limit.message_attachments_bytes_max)}.` : '';
}

/** @param {File} file @param {Upload} upload @param {() => void} moved @returns {Promise<string>} The digest. */
async function put(file, upload, moved) {
  // A page that came over plain HTTP from another machine has no digests: then the gateway makes it.
  const digest = crypto.subtle && new Uint8Array(await crypto.subtle.digest('SHA-256', await file.arrayBuffer()));
  const hex = digest ? [...digest].map((each) => each.toString(16).padStart(2, '0')).join('') : '';
  return new Promise((resolve, reject) => {
    const request = (upload.request = new window.XMLHttpRequest());
    request.open(hex ? 'PUT' : 'POST', hex ? `/api/blobs/${hex}` : '/api/blobs');
    request.responseType = 'json';
    request.setRequestHeader('X-Session-ID', 'operator');
    request.setRequestHeader('Content-Type', 'application/octet-stream');
    if (token.get()) request.setRequestHeader('Authorization', `Bearer ${token.get()}`);
    request.upload.onprogress = (event) => void (upload.done = event.loaded / Math.max(1, event.total), moved());
    request.onload = () => {
      const said = request.response?.error ?? request.response ?? {};
      if (request.status < 300) resolve(said.sha256 ?? hex);
      else reject(new Error(refusalWords({message: `The gateway answered ${request.status}.`, ...said})));
    };
    request.onerror = () => reject(new Error('The gateway does not answer. Take the file off, and attach it again.'));
    request.send(file);
  });
}

/** Put files to the post office. @param {App} app @param {Work} work @param {File[]} files @param {() => void} keep */
export async function addFiles(app, work, files, keep) {
  const added = files.map((file) => ({name: file.name, size: file.size, type: file.type || 'application/octet-stream', sha256: '', done: 0, error: ''}));
  work.files = [...work.files, ...added];
  app.update();
  const limit = await limits(app);
  for (const [index, upload] of added.entries()) {
    upload.error = refusal(work, files[index], limit);
    if (!upload.error) await put(files[index], upload, app.update).then((found) => (upload.sha256 = found), (failed) => (upload.error = failed.message));
    settle(app, work, keep);
  }
}

/** @param {App} app @param {Work} work @param {() => void} keep */
function settle(app, work, keep) {
  work.attachments = work.files.filter((each) => each.sha256).map(({name, size, type, sha256}) => ({name, size, type, sha256}));
  keep();
  app.update();
}

/** @param {App} app @param {Work} work @param {() => void} keep */
export function fileList(app, work, keep) {
  if (!work.files.length) work.files = work.attachments.map((each) => ({...each, done: 1, error: ''}));
  return work.files.length ? html`<ul class="uploads" aria-label="Files">${work.files.map((file) => html`<li>${icon(file.error ? 'refused' : 'clip')}<bdi class="cut">${file.name}</bdi>
    <span class=${file.error ? 'fail' : 'quiet'}>${file.error || bytes(file.size)}</span>
    ${file.sha256 || file.error ? nothing : html`<progress max="1" .value=${file.done} aria-label="Sent of ${file.name}"></progress>`}
    <button type="button" aria-label="Take ${file.name} off" @click=${() => {
      file.request?.abort();
      work.files = work.files.filter((each) => each !== file);
      settle(app, work, keep);
    }}>${icon('x')}</button></li>`)}</ul>` : nothing;
}
