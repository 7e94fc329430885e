// @ts-check
// The range to search next: its bounds, the number of trials in it, and the command to copy.

import { copy } from "./base.js";
import { byId, html } from "./dom.js";
import { numberText, percentText } from "./numbers.js";
import { command, rangeText, valueAt } from "./ranges.js";

/**
 * @typedef {import("./model.js").Model} Model
 * @typedef {import("./model.js").Row} Row
 * @typedef {import("./model.js").Knob} Knob
 * @typedef {{knob: Knob, low: number, high: number}} Ends places on the axis of a hyperparameter
 */

export class NextRange {
  /** @param {Model} model @param {() => void} clear called when the reader closes it */
  constructor(model, clear) {
    this.model = model;
    byId("range-clear").addEventListener("click", clear);
    byId("range-copy").addEventListener("click", () => copy(byId("range-command").textContent ?? ""));
    byId("bounds").addEventListener("input", () => this.typed());
    byId("range").addEventListener("submit", (event) => event.preventDefault());
  }

  hide() {
    byId("range").hidden = true;
    byId("plane-hint").hidden = false;
  }

  /** @param {Ends[]} ends @param {Row[]} rows the trials within */
  show(ends, rows) {
    byId("range").hidden = false;
    byId("plane-hint").hidden = true;
    const ranges = ends.filter(({ knob }, index) => knob.maker && ends.findIndex((one) => one.knob === knob) === index);
    byId("bounds").replaceChildren(...ranges.map(bounds));
    byId("range-count").textContent = this.inside(rows);
    this.typed();
  }

  /** Shows the command for the bounds in the boxes. */
  typed() {
    const boxes = /** @type {HTMLInputElement[]} */ ([...byId("bounds").querySelectorAll("input")]);
    /** @type {Record<string, string>} */
    const ranges = {};
    for (let index = 0; index + 1 < boxes.length; index += 2) {
      const knob = this.model.board.knobs.find((one) => one.name === boxes[index].dataset.knob);
      if (knob) ranges[knob.name] = rangeText(knob, boxes[index].value, boxes[index + 1].value);
    }
    byId("range-command").textContent = Object.keys(ranges).length ? command(this.model.board, ranges) : "a choice has no range";
  }

  /** Describes the number of trials and their best score. @param {Row[]} rows */
  inside(rows) {
    const scores = rows.flatMap((row) => (row.score === null ? [] : [row.score]));
    const best = scores.length ? Math.max(...scores) : null;
    const words = best === null ? "" : `, the best at ${this.model.board.accuracy ? percentText(best) : numberText(-best)}`;
    return `${rows.length} ${rows.length === 1 ? "trial lies" : "trials lie"} in it${words}`;
  }
}

/** Makes two boxes for the bounds of a range. @param {Ends} ends */
function bounds({ knob, low, high }) {
  const made = html("label", {}, html("span", {}, knob.name));
  for (const [end, place] of /** @type {[string, number][]} */ ([["from", low], ["to", high]])) {
    made.append(html("input", { type: "text", inputmode: "decimal", size: 8, "data-knob": knob.name, "aria-label": `${knob.name} ${end}`, value: valueAt(knob, place) }));
    if (end === "from") made.append("to");
  }
  return made;
}
