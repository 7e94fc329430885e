// @ts-check
// The loss curves side by side: drawn by the server, fetched again after a change.

import { byId, set } from "./dom.js";

/** @typedef {import("./model.js").Model} Model */

const EVERY = 4000;

export class Curves {
  /** @param {Model} model */
  constructor(model) {
    this.model = model;
    this.place = byId("curves");
    this.shown = "best";
    this.stale = false;
    this.visible = false;
    this.asked = 0;
    byId("curve-chips").addEventListener("click", (event) => {
      const chip = event.target instanceof Element ? event.target.closest("[data-show]") : null;
      if (chip instanceof HTMLElement) this.show(chip.dataset.show ?? "best");
    });
    this.place.addEventListener("pointerover", (event) => {
      const panel = event.target instanceof Element ? event.target.closest("[data-key]") : null;
      model.hover(panel instanceof HTMLElement ? (panel.dataset.key ?? "") : "");
    });
    this.place.addEventListener("pointerleave", () => model.hover(""));
    model.on("hover", (key) => {
      for (const panel of this.place.querySelectorAll("[data-key]")) panel.classList.toggle("hovered", /** @type {HTMLElement} */ (panel).dataset.key === key);
    });
    for (const what of /** @type {const} */ (["rows", "board"])) {
      model.on(what, () => {
        this.stale = true;
        this.refresh();
      });
    }
    new IntersectionObserver((seen) => {
      this.visible = seen.some((one) => one.isIntersecting);
      this.refresh();
    }, { rootMargin: "200px" }).observe(this.place);
  }

  /** @param {string} shown */
  show(shown) {
    this.shown = shown;
    for (const chip of byId("curve-chips").children) set(chip, { "aria-pressed": String(/** @type {HTMLElement} */ (chip).dataset.show === shown) });
    this.asked = 0;
    this.fetch();
  }

  refresh() {
    if (!this.stale || !this.visible || this.waiting) return;
    this.waiting = setTimeout(() => {
      this.waiting = undefined;
      this.fetch();
    }, Math.max(0, this.asked + EVERY - Date.now()));
  }

  async fetch() {
    this.asked = Date.now();
    this.stale = false;
    this.place.setAttribute("aria-busy", "true");
    try {
      const reply = await fetch(`/s/${this.model.board.study}/curves?show=${this.shown}`);
      if (reply.ok) this.place.innerHTML = await reply.text(); // our own figures; names in them are escaped
    } catch {
      this.stale = true; // the header says that the server is silent; the next change tries again
    }
    this.place.setAttribute("aria-busy", "false");
  }
}
