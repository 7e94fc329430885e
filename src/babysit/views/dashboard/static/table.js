// @ts-check
// The table of trials: sorted, filtered, patched in place. Nothing moves under the reader's eyes unless asked for.

import { columnsOf, write } from "./columns.js";
import { byId, html, set } from "./dom.js";
import { readFilter } from "./filter.js";

/**
 * @typedef {import("./model.js").Model} Model
 * @typedef {import("./model.js").Row} Row
 * @typedef {import("./columns.js").Column} Column
 */

const BATCH = 150;
/** How many rows are drawn at first, and more of them whenever the reader comes near the end. */

export class Table {
  /** @param {Model} model */
  constructor(model) {
    this.model = model;
    this.window = byId("window");
    this.body = byId("rows");
    /** @type {Map<string, HTMLElement>} the rows that are drawn */
    this.drawn = new Map();
    /** @type {string[]} what is shown, in this order, until the reader asks for another */
    this.order = [];
    this.limit = BATCH;
    this.sorted = { id: "score", descending: true };
    this.state = "";
    this.filter = readFilter("", model.board);
    this.current = "";
    this.hovered = "";

    this.build();
    this.listen();
    model.on("rows", (changed) => this.patch(changed));
    model.on("board", () => this.build());
    model.on("hover", (key) => this.mark(key));
    model.on("ticked", () => this.tick());
  }

  build() {
    this.columns = columnsOf(this.model);
    byId("columns").replaceChildren(...this.columns.map((column) => this.heading(column)));
    this.setFilter(/** @type {HTMLInputElement} */ (byId("filter")).value);
  }

  /** @param {Column} column */
  heading(column) {
    const cell = html("th", { scope: "col", class: column.numeric ? "number" : undefined, "data-column": column.id });
    if (!column.label) {
      cell.append(html("span", { class: "sr" }, column.title));
    } else {
      const button = html("button", { type: "button", title: column.title }, column.label);
      button.addEventListener("click", () => this.sortBy(column));
      cell.append(button);
    }
    return cell;
  }

  /** @param {Column} column */
  sortBy(column) {
    const again = this.sorted.id === column.id;
    this.sorted = { id: column.id, descending: again ? !this.sorted.descending : column.descending };
    this.resort();
  }

  /** Sorts the rows that match the filter in the chosen order. */
  resort() {
    this.order = this.wanted();
    this.limit = BATCH;
    this.window.scrollTop = 0;
    this.drawn.clear();
    this.body.replaceChildren();
    this.fill();
    for (const cell of byId("columns").children) {
      const mine = /** @type {HTMLElement} */ (cell).dataset.column === this.sorted.id;
      set(cell, { "aria-sort": mine ? (this.sorted.descending ? "descending" : "ascending") : undefined });
    }
    byId("resort").hidden = true;
    this.count();
  }

  /** @returns {string[]} the keys of all rows that match, sorted */
  wanted() {
    const column = this.columns?.find((one) => one.id === this.sorted.id);
    const rows = [...this.model.rows.values()].filter((row) => this.matches(row));
    const sign = this.sorted.descending ? -1 : 1;
    const values = new Map(rows.map((row) => [row.key, column ? column.value(row) : null]));
    rows.sort((a, b) => {
      const [left, right] = [values.get(a.key) ?? null, values.get(b.key) ?? null];
      const byValue = (left === null ? 1 : 0) - (right === null ? 1 : 0) || sign * compare(left, right);
      return byValue || a.stage - b.stage || a.number - b.number;
    });
    return rows.map((row) => row.key);
  }

  /** @param {Row} row */
  matches(row) {
    return (!this.state || row.state === this.state) && this.filter.test(row);
  }

  /** Draws rows up to the limit. */
  fill() {
    const made = document.createDocumentFragment();
    for (const key of this.order.slice(this.drawn.size, this.limit)) {
      const row = this.model.rows.get(key);
      if (!row) continue;
      const element = this.make(row);
      this.drawn.set(key, element);
      made.append(element);
    }
    this.body.append(made);
    const hidden = this.order.length - this.drawn.size;
    byId("more").hidden = hidden <= 0;
    byId("more-count").textContent = `${this.drawn.size} of ${this.order.length} shown`;
  }

  /** @param {Row} row */
  make(row) {
    const element = html("tr", { "data-key": row.key, tabindex: "-1" });
    for (const column of this.columns ?? []) {
      const cell = html("td", {
        class: [column.numeric ? "number" : "", `c-${column.id.startsWith("knob") ? "knob" : column.id}`].filter(Boolean).join(" "),
        "data-label": column.label,
      });
      element.append(cell);
    }
    this.draw(element, row);
    return element;
  }

  /** @param {HTMLElement} element @param {Row} row */
  draw(element, row) {
    element.className = [row.best ? "best" : "", row.tied ? "tied" : "", row.key === this.hovered ? "hovered" : ""].join(" ").trim();
    (this.columns ?? []).forEach((column, index) => column.fill(/** @type {HTMLElement} */ (element.children[index]), row));
  }

  /**
   * Redraws changed rows in place; new rows come last.
   * @param {Row[]} changed
   */
  patch(changed) {
    const known = new Set(this.order);
    for (const row of changed) {
      const element = this.drawn.get(row.key);
      if (element) this.draw(element, row);
      else if (!known.has(row.key) && this.matches(row)) this.order.push(row.key);
    }
    this.fill();
    const wanted = this.wanted();
    byId("resort").hidden = wanted.length === this.order.length && wanted.every((key, index) => key === this.order[index]);
    this.count();
  }

  /** @param {string} text */
  setFilter(text) {
    this.filter = readFilter(text, this.model.board);
    byId("filter-problem").textContent = this.filter.problem;
    this.resort();
  }

  /** @param {string} state empty for all */
  setState(state) {
    this.state = state;
    this.resort();
  }

  count() {
    const all = this.model.rows.size;
    const shown = this.order.length;
    byId("count").textContent = shown === all ? `${all}` : `${shown} of ${all}`;
    byId("none").hidden = shown > 0 || all === 0;
    byId("waiting").hidden = all > 0;
    drawChips(this);
  }

  listen() {
    const box = /** @type {HTMLInputElement} */ (byId("filter"));
    let timer = 0;
    box.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => this.setFilter(box.value), 80);
    });
    box.addEventListener("keydown", (event) => {
      if (event.key === "Escape") {
        box.value = "";
        this.setFilter("");
        box.blur();
      }
    });
    byId("clear-filter").addEventListener("click", () => {
      box.value = "";
      this.state = "";
      this.setFilter("");
    });
    byId("resort").addEventListener("click", () => this.resort());
    this.body.addEventListener("pointerover", (event) => this.model.hover(keyAt(event.target)));
    this.body.addEventListener("pointerleave", () => this.model.hover(""));
    this.body.addEventListener("focusin", (event) => {
      this.current = keyAt(event.target);
      this.model.hover(this.current);
    });
    this.body.addEventListener("change", (event) => {
      if (event.target instanceof HTMLInputElement) this.model.tick(keyAt(event.target), event.target.checked);
    });
    this.body.addEventListener("click", (event) => {
      if (!(event.target instanceof Element) || event.target.closest("a, button, input, label")) return;
      if (String(getSelection())) return;
      const row = this.model.rows.get(keyAt(event.target));
      if (row) location.assign(this.model.address(row));
    });
    byId("more-rows").addEventListener("click", () => this.more());
    // Draws more rows before the reader reaches the end; on a phone, where the page itself scrolls, only on
    // request.
    new IntersectionObserver(
      (seen) => {
        const scrolls = getComputedStyle(this.window).overflowY === "auto";
        if (scrolls && seen.some((one) => one.isIntersecting) && this.drawn.size < this.order.length) this.more();
      },
      { root: this.window, rootMargin: "600px" },
    ).observe(byId("more"));
  }

  more() {
    this.limit += BATCH;
    this.fill();
  }

  /**
   * Moves to the next or the previous row.
   * @param {number} by
   */
  move(by) {
    const at = this.order.indexOf(this.current);
    const next = Math.min(Math.max(at < 0 ? 0 : at + by, 0), this.order.length - 1);
    if (next >= this.drawn.size - 1 && this.drawn.size < this.order.length) this.more();
    const element = this.drawn.get(this.order[next]);
    element?.focus();
    element?.scrollIntoView({ block: "nearest" });
  }

  open() {
    const row = this.model.rows.get(this.current);
    if (row) location.assign(this.model.address(row));
  }

  /** @param {string} key */
  mark(key) {
    this.drawn.get(this.hovered)?.classList.remove("hovered");
    this.hovered = key;
    this.drawn.get(key)?.classList.add("hovered");
  }

  /** Brings a row into view when the reader points at its dot. @param {string} key */
  reveal(key) {
    this.drawn.get(key)?.scrollIntoView({ block: "nearest" });
  }

  tick() {
    for (const [key, element] of this.drawn) {
      const box = element.querySelector("input");
      if (box) box.checked = this.model.ticked.has(key);
    }
  }
}

/** @param {EventTarget | null} target */
function keyAt(target) {
  const row = target instanceof Element ? target.closest("[data-key]") : null;
  return row instanceof HTMLElement ? (row.dataset.key ?? "") : "";
}

/** @param {string | number | null} left @param {string | number | null} right */
function compare(left, right) {
  if (typeof left === "number" && typeof right === "number") return left - right;
  return String(left).localeCompare(String(right));
}

const STATES = ["running", "complete", "exploded", "pruned", "stopped", "failed", "waiting"];

/** Draws the chips above the table: the number of trials in each state; a click shows only these. @param {Table} table */
function drawChips(table) {
  const counts = new Map([["", table.model.rows.size]]);
  for (const row of table.model.rows.values()) counts.set(row.state, (counts.get(row.state) ?? 0) + 1);
  const wanted = ["", ...STATES.filter((state) => counts.has(state) || state === table.state)];
  const place = byId("chips");
  if ([...place.children].map((chip) => /** @type {HTMLElement} */ (chip).dataset.state).join() !== wanted.join()) {
    place.replaceChildren(...wanted.map((state) => chip(table, state)));
  }
  for (const one of place.children) {
    const state = /** @type {HTMLElement} */ (one).dataset.state ?? "";
    set(one, { "aria-pressed": String(state === table.state) });
    write(/** @type {HTMLElement} */ (one.lastChild), String(counts.get(state) ?? 0));
  }
}

/** @param {Table} table @param {string} state */
function chip(table, state) {
  const made = html("button", { type: "button", class: "chip", "data-state": state }, html("span", { class: state ? `state ${state}` : "" }, state || "all"), " ", html("span", { class: "number" }));
  made.addEventListener("click", () => table.setState(state === table.state ? "" : state));
  return made;
}
