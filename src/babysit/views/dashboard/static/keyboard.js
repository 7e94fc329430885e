// @ts-check
// Keyboard shortcuts, active while the reader is not typing.

/** @type {Map<string, (event: KeyboardEvent) => void>} */
const actions = new Map();
let first = "";
let since = 0;
const TOGETHER = 1000;

/**
 * Binds a key, or two pressed one after the other ("g s").
 * @param {string} keys
 * @param {(event: KeyboardEvent) => void} action
 */
export function bind(keys, action) {
  actions.set(keys, action);
}

/** @param {EventTarget | null} target */
function isTyping(target) {
  return target instanceof HTMLElement && target.matches("input:not([type=checkbox]), textarea, select, [contenteditable]");
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  if (document.querySelector("dialog[open]")) return;
  const pair = event.timeStamp - since < TOGETHER ? `${first} ${event.key}` : "";
  const action = actions.get(pair) ?? actions.get(event.key);
  first = event.key;
  since = event.timeStamp;
  if (!action) return;
  event.preventDefault();
  action(event);
});
