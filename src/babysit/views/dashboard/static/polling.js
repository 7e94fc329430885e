// @ts-check
// Polls the server for changes once a second while the page is visible; the next poll waits for the answer.

import { byId } from "./dom.js";

const EVERY = 1000;
const LONGEST = 30000;

/** @param {Date} moment */
const clock = (moment) => moment.toLocaleTimeString([], { hour12: false });

/**
 * Polls without end.
 * @param {(cursor: number) => string} address of the changes since a cursor
 * @param {number} cursor of the state that the page shows
 * @param {(changes: any) => void} apply called with each answer; the same change may come twice
 */
export function poll(address, cursor, apply) {
  let wait = EVERY;
  let last = new Date();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  let polling = false;

  async function ask() {
    if (polling || document.visibilityState !== "visible") return;
    polling = true;
    try {
      const reply = await fetch(address(cursor), { headers: { accept: "application/json" } });
      if (!reply.ok) throw new Error(`status ${reply.status}`);
      const changes = await reply.json();
      cursor = changes.cursor;
      apply(changes);
      last = new Date();
      wait = EVERY;
      show("live", `live · ${clock(last)}`);
    } catch (error) {
      wait = Math.min(2 * wait, LONGEST);
      show("stale", `stale since ${clock(last)}`);
      if (!(error instanceof TypeError)) console.warn("babysit: no changes read:", error);
    }
    polling = false;
    clearTimeout(timer);
    timer = setTimeout(ask, wait);
  }

  document.addEventListener("visibilitychange", ask);
  timer = setTimeout(ask, EVERY);
}

/**
 * Shows the state of the connection in the header. A screen reader announces it only when its kind changes.
 * @param {"live" | "stale"} kind
 * @param {string} text
 */
function show(kind, text) {
  const place = byId("live");
  if (place.dataset.kind !== kind) {
    place.setAttribute("aria-live", "polite");
    place.dataset.kind = kind;
    place.hidden = false;
  } else {
    place.setAttribute("aria-live", "off");
  }
  place.textContent = text;
}
