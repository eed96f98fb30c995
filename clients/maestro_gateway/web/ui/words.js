// Words: a stand-in until the real one is there.
// @ts-check
/** @param {number} at */
export const clock = (at) => new Date(at).toTimeString().slice(0, 5);
/** @param {number} ms */
export const age = (ms) => (ms < 60000 ? "" : ms < 3600000 ? `${Math.floor(ms / 60000)}m` : ms < 86400000 ? `${Math.floor(ms / 3600000)}h` : `${Math.floor(ms / 86400000)}d`);
