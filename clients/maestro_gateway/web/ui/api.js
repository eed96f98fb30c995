/* Api: requests to the gateway. The page speaks as the operator; a token of the login, where there is one, is sent
 * in a header and never in an address. */
/** @import {Api, ApiError, Query} from './types.js' */

const TOKEN = 'maestro.token';

export const token = {
  get: () => sessionStorage.getItem(TOKEN) ?? '',
  /** @param {string} value */
  set: (value) => sessionStorage.setItem(TOKEN, value),
  clear: () => sessionStorage.removeItem(TOKEN),
};

/**
 * @param {number} status
 * @param {Record<string, any>} body
 * @returns {ApiError}
 */
export function apiError(status, body) {
  const {code = '', message = '', hint = '', details = {}, retryAfter = 0} = body;
  return Object.assign(new Error(message), {status, code, hint, details, retryAfter});
}

/**
 * @param {string} path
 * @param {Query} [query]
 */
export function address(path, query) {
  const given = Object.entries(query ?? {}).filter(([, value]) => value !== undefined && value !== null && value !== '');
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return path + (text ? (path.includes('?') ? '&' : '?') + text : '');
}

/**
 * @param {(status: number) => void} refused Called for 401: the page needs a login.
 * @returns {Api}
 */
export function makeApi(refused) {
  /**
   * @param {string} method
   * @param {string} path
   * @param {BodyInit|object|undefined} body
   * @param {Record<string, string>} headers
   * @returns {Promise<Response>}
   */
  async function call(method, path, body, headers) {
    const sent = new Headers({Accept: 'application/json', 'X-Session-ID': 'operator', ...headers});
    if (token.get()) sent.set('Authorization', `Bearer ${token.get()}`);
    const raw = body instanceof Blob || body instanceof ArrayBuffer || typeof body === 'string';
    if (body !== undefined && !raw) sent.set('Content-Type', 'application/json');
    let response;
    try {
      response = await fetch(path, {method, headers: sent, body: raw ? /** @type {BodyInit} */ (body) : JSON.stringify(body)});
    } catch {
      throw apiError(0, {code: 'UNREACHABLE', message: 'The gateway does not answer.', hint: 'Start it with `maestro up`.'});
    }
    if (response.ok) return response;
    if (response.status === 401) refused(401);
    /** @type {Record<string, any>} */
    const answer = await response.json().catch(() => ({}));
    const error = typeof answer.error === 'object' && answer.error ? answer.error : answer;
    throw apiError(response.status, {message: `The gateway answered ${response.status}.`, ...error, hint: error.httpHint ?? error.hint ?? ''});
  }
  /** @param {Response} response */
  const json = (response) => (response.status === 204 ? null : response.json());
  return {
    get: async (path, query) => json(await call('GET', address(path, query), undefined, {})),
    post: async (path, body, headers = {}) => json(await call('POST', path, body, headers)),
    put: async (path, body, headers = {}) => json(await call('PUT', path, body, headers)),
    patch: async (path, body) => json(await call('PATCH', path, body, {})),
    del: async (path) => json(await call('DELETE', path, undefined, {})),
    blob: async (path) => (await call('GET', path, undefined, {})).blob(),
  };
}
