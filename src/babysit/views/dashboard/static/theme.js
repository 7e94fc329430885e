// @ts-check
// Runs before the first paint, so that a page that was chosen dark does not flash white. Not a module for that reason.
(() => {
  try {
    const chosen = localStorage.getItem("babysit-theme");
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  } catch {
    // Storage may be forbidden: then the system's own choice stands.
  }
})();
