// Theme: light or dark as the system is, until the person chooses the other one here.
// @ts-check

/** Change to the other theme. The system's own theme is not stored, so that the page follows the system again. */
export function toggleTheme() {
  const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  const now = document.documentElement.dataset.theme || system;
  const next = now === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = next === system ? "" : next;
  if (next === system) localStorage.removeItem("maestro.theme");
  else localStorage.setItem("maestro.theme", next);
}
