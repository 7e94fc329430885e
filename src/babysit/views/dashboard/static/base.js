// @ts-check
// The functions of every page: light and dark, the keyboard help, copying commands.

import { byId, toast } from "./dom.js";
import { bind } from "./keyboard.js";

const help = /** @type {HTMLDialogElement} */ (byId("help"));

function openHelp() {
  help.showModal();
}

function switchTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try {
    localStorage.setItem("babysit-theme", root.dataset.theme);
  } catch {
    // Storage may be forbidden: the choice then lasts for this page.
  }
  document.dispatchEvent(new Event("babysit-theme"));
}

byId("theme").addEventListener("click", switchTheme);
byId("help-open").addEventListener("click", openHelp);
help.addEventListener("click", (event) => {
  if (event.target === help) help.close();
});
bind("?", openHelp);
bind("t", switchTheme);
bind("g s", () => location.assign("/"));
bind("g l", () => location.assign("/lab"));

document.addEventListener("click", async (event) => {
  const button = event.target instanceof Element ? event.target.closest("[data-copy]") : null;
  if (button instanceof HTMLElement) await copy(button.dataset.copy ?? "");
});

/**
 * Puts text on the clipboard and says so.
 * @param {string} text
 */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    toast("copied");
  } catch {
    toast(text); // without a clipboard (a plain address beyond this machine) it can still be selected
  }
}
