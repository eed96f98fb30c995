// Router: the address of a page in parts. Every state that one may want to come back to is an address.
// @ts-check
/** @import { Route } from "./types.js" */

/** @type {[RegExp, string][]} */
const PATHS = [
  [/^\/ui\/?$/, "all"],
  [/^\/ui\/s\/([^/]+)$/, "session"],
  [/^\/ui\/c\/([^/]+)\/([^/]+)$/, "conversation"],
  [/^\/ui\/threads$/, "threads"],
  [/^\/ui\/t\/([^/]+)$/, "thread"],
  [/^\/ui\/g\/([^/]+)$/, "group"],
  [/^\/ui\/m\/([^/]+)$/, "message"],
  [/^\/ui\/inbox$/, "inbox"],
  [/^\/ui\/search$/, "search"],
  [/^\/ui\/stats$/, "stats"],
  [/^\/ui\/health$/, "health"],
  [/^\/ui\/sessions$/, "sessions"],
  [/^\/ui\/more$/, "more"],
];

/**
 * The route of an address of this page; `missing` for one that is none.
 * @param {URL} url
 * @returns {Route}
 */
export function parse(url) {
  const query = Object.fromEntries(url.searchParams);
  const whole = url.pathname + url.search;
  for (const [pattern, view] of PATHS) {
    const found = pattern.exec(url.pathname);
    if (found) return {view, params: found.slice(1).map(decoded), query, path: whole};
  }
  return {view: "missing", params: [], query, path: whole};
}

/** @param {string} part */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/**
 * A path from its parts, each of them encoded: `path("c", "ann", "ben")` is `/ui/c/ann/ben`.
 * @param {...string} parts
 */
export function path(...parts) {
  return "/ui/" + parts.map(encodeURIComponent).join("/");
}
