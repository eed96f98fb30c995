// Uploads: the files of a message on their way to the post office.
// @ts-check
/** @import {App} from './types.js' */
/** @import {Work} from './composer.js' */
import {html, nothing} from './vendor/lit-html/lit-html.js';
import {status} from './health_view.js';
import {icon} from './icons.js';
import {bytes} from './words.js';

/** @typedef {{name: string, size: number, type: string, sha256: string, error: string}} Upload */

const KNOWN = {attachment_bytes_max: 10 << 20, attachments_max: 16, message_attachments_bytes_max: 25 << 20};

/** Why this file can't be sent with the others, or ''. @param {App} app @param {Work} work @param {File} file */
async function refusal(app, work, file) {
  const {limits = {}} = await status(app).catch(() => ({}));
  const most = (/** @type {keyof typeof KNOWN} */ name) => limits[name]?.value ?? KNOWN[name];
  const good = work.files.filter((each) => !each.error), whole = good.reduce((sum, each) => sum + each.size, 0);
  const [one, count, all] = [most('attachment_bytes_max'), most('attachments_max'), most('message_attachments_bytes_max')];
  if (file.size > one) return `The file has ${bytes(file.size)}, and one file may have ${bytes(one)}.`;
  if (good.length > count) return `A message may have ${count} files.`;
  return whole > all ? `The files have ${bytes(whole)}, and one message may have ${bytes(all)}.` : '';
}

/** @param {App} app @param {File} file @returns {Promise<string>} The digest. */
async function put(app, file) {
  // A page that came over plain HTTP from another machine has no digests: then the gateway makes it.
  const digest = crypto.subtle && new Uint8Array(await crypto.subtle.digest('SHA-256', await file.arrayBuffer()));
  const hex = digest ? [...digest].map((each) => each.toString(16).padStart(2, '0')).join('') : '';
  const headers = {'Content-Type': 'application/octet-stream'};
  const made = await (hex ? app.api.put(`/api/blobs/${hex}`, file, headers) : app.api.post('/api/blobs', file, headers));
  return made?.sha256 ?? hex;
}

/** Put files to the post office. @param {App} app @param {Work} work @param {File[]} files @param {() => void} keep */
export async function addFiles(app, work, files, keep) {
  const added = files.map((file) => ({name: file.name, size: file.size, type: file.type || 'application/octet-stream', sha256: '', error: ''}));
  work.files = [...work.files, ...added];
  app.update();
  for (const [index, upload] of added.entries()) {
    upload.error = await refusal(app, work, files[index]);
    if (!upload.error) [upload.sha256, upload.error] = await put(app, files[index]).then((found) => [found, ''], ({message, hint}) => ['', `${message} ${hint ?? ''}`]);
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
  if (!work.files.length) work.files = work.attachments.map((each) => ({...each, error: ''}));
  return work.files.length ? html`<ul class="uploads" aria-label="Files">${work.files.map((file) => html`<li>${icon(file.error ? 'refused' : 'clip')}<bdi class="cut">${file.name}</bdi>
    <span class=${file.error ? 'fail' : 'quiet'}>${file.error || bytes(file.size)}${file.sha256 || file.error ? '' : ', on its way'}</span>
    <button type="button" aria-label="Take ${file.name} off" @click=${() => {
      work.files = work.files.filter((each) => each !== file);
      settle(app, work, keep);
    }}>${icon('x')}</button></li>`)}</ul>` : nothing;
}
