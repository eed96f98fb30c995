// Api: requests to the gateway. The page speaks as the operator; a token of the login, where there is one, is sent
// in a header and never in an address.
// @ts-check
/** @import { Api, ApiError, Query } from "./types.js" */

const TOKEN = "maestro.token";

export const token = {
  get: () => sessionStorage.getItem(TOKEN) ?? "",
  /** @param {string} value */
  set: (value) => (value ? sessionStorage.setItem(TOKEN, value) : sessionStorage.removeItem(TOKEN)),
};

/** @param {number} status @param {Record<string, any>} body @returns {ApiError} */
const apiError = (status, { code = "", message = "", hint = "", details = {}, retryAfter = 0 }) =>
  Object.assign(new Error(message), { status, code, hint, details, retryAfter });

/** The answer, or else why there is none. @param {Promise<any>} request @returns {Promise<[any, any]>} */
export const tried = (request) => request.then((found) => [found, null], (error) => [null, error]);

/** @param {string} path @param {Query} [query] */
export function address(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return path + (text && (path.includes("?") ? "&" : "?")) + text;
}

/**
 * @param {() => void} refused Called for 401: the page needs a login.
 * @param {(people: Record<string, {name?: string, role: string}>) => void} learn Gets the names in an answer.
 * @returns {Api}
 */
export function makeApi(refused, learn) {
  /** @param {string} method @param {string} path @param {BodyInit|object} [body] @param {Record<string, string>} [headers] */
  async function call(method, path, body, headers = {}) {
    const sent = new Headers({ Accept: "application/json", "X-Session-ID": "operator", ...headers });
    if (token.get()) sent.set("Authorization", `Bearer ${token.get()}`);
    const isRaw = body instanceof Blob || body instanceof ArrayBuffer || typeof body === "string";
    if (body !== undefined && !isRaw) sent.set("Content-Type", "application/json");
    const payload = isRaw ? /** @type {BodyInit} */ (body) : JSON.stringify(body);
    const response = await fetch(path, { method, headers: sent, body: payload }).catch(() => null);
    if (!response) throw apiError(0, { code: "UNREACHABLE", message: "The gateway does not answer.", hint: "Start it with `maestro up`." });
    if (response.ok) return response;
    if (response.status === 401) refused();
    const said = await response.json().catch(() => ({}));
    const error = said.error instanceof Object ? said.error : said;
    throw apiError(response.status, { message: `The gateway answered ${response.status}.`, ...error, hint: error.httpHint ?? error.hint ?? "" });
  }

  /** @param {Response} response */
  async function json(response) {
    const answer = response.status === 204 ? null : await response.json();
    if (answer?.people) learn(answer.people);
    return answer;
  }

  return {
    get: async (path, query) => json(await call("GET", address(path, query))),
    async all(path, name, query) {
      const items = [];
      for (let next = address(path, query); next; ) {
        const response = await call("GET", next);
        const answer = await json(response);
        items.push(...(name ? answer[name] : answer));
        next = /<([^>]*)>; rel="next"/.exec(response.headers.get("Link") ?? "")?.[1] ?? "";
      }
      return items;
    },
    post: async (path, body, headers) => json(await call("POST", path, /** @type {object} */ (body), headers)),
    put: async (path, body, headers) => json(await call("PUT", path, body, headers)),
    patch: async (path, body) => json(await call("PATCH", path, /** @type {object} */ (body))),
    del: async (path) => json(await call("DELETE", path)),
    blob: async (path) => (await call("GET", path)).blob(),
  };
}
