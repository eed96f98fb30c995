// Router: the address of a page in parts. Every state that one may want to come back to is an address.
// @ts-check
/** @import { Route } from "./types.js" */

/** What follows `/ui/`: the view, and how many parts come behind it. @type {Record<string, [string, number]>} */
const PLACES = {
  "": ["all", 0], s: ["session", 1], c: ["conversation", 2], threads: ["threads", 0], t: ["thread", 1], g: ["group", 1], m: ["message", 1],
  inbox: ["inbox", 0], search: ["search", 0], stats: ["stats", 0], health: ["health", 0], sessions: ["sessions", 0], more: ["more", 0],
};

/** @param {string} part */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** The route of an address of this page; `missing` for one that is none. @param {URL} url @returns {Route} */
export function parse(url) {
  const [name = "", ...rest] = url.pathname.slice("/ui/".length).split("/");
  const [view, count] = Object.hasOwn(PLACES, name) ? PLACES[name] : ["missing", -1];
  const query = Object.fromEntries(url.searchParams);
  const isOne = rest.length === count && rest.every(Boolean);
  return { view: isOne ? view : "missing", params: isOne ? rest.map(decoded) : [], query, path: url.pathname + url.search };
}

/** A path from its parts, each of them encoded: `path("c", "ann", "ben")` is `/ui/c/ann/ben`. @param {...string} parts */
export const path = (...parts) => "/ui/" + parts.map(encodeURIComponent).join("/");
