// @ts-check
// Parallel coordinates: every hyperparameter is an upright axis, every trial a line across them, the score last.

import { byId, svg } from "./dom.js";
import { SHADES } from "./scatter.js";
import { scoreKnob, scorePlace } from "./score_axis.js";

/**
 * @typedef {import("./model.js").Model} Model
 * @typedef {import("./model.js").Row} Row
 */

const WIDTH = 560;
const HEIGHT = 250;
const TOP = 30;
const BOTTOM = 12;
const SIDE = 44;
const MOST = 2000;
/** The most lines that are drawn, those of the best trials; more cannot be distinguished. */

export class Parallel {
  /** @param {Model} model */
  constructor(model) {
    this.model = model;
    this.build();
    model.on("board", () => this.build());
    model.on("rows", () => this.draw());
    model.on("hover", (key) => this.mark(key));
  }

  build() {
    byId("parallel-card").hidden = !this.model.board.knobs.length;
    const knobs = [...this.model.board.knobs, scoreKnob(this.model)];
    const root = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": "every hyperparameter and the score of every trial, as lines; the table holds the same" });
    this.lines = svg("g", { class: "lines" });
    this.marked = svg("path", { class: "marked" });
    root.append(this.lines, this.marked);
    knobs.forEach((knob, index) => {
      const x = this.x(index);
      root.append(svg("line", { class: "upright", x1: x, x2: x, y1: TOP, y2: HEIGHT - BOTTOM }));
      const anchor = index === 0 ? "start" : index === knobs.length - 1 ? "end" : "middle";
      root.append(svg("text", { class: "name", x: index === 0 ? 4 : index === knobs.length - 1 ? WIDTH - 4 : x, y: 14, "text-anchor": anchor }, knob.name));
      for (const [place, label] of thinned(knob.ticks)) {
        root.append(svg("text", { class: "tick", x: x - 5, y: y(place) + 3.5, "text-anchor": "end" }, label));
      }
    });
    byId("parallel").replaceChildren(root);
    this.draw();
  }

  /** @param {number} index */
  x(index) {
    return SIDE + (index * (WIDTH - 2 * SIDE + 24)) / Math.max(this.model.board.knobs.length, 1);
  }

  draw() {
    const paths = /** @type {Map<string, string>} */ (new Map());
    let rows = [...this.model.rows.values()];
    if (rows.length > MOST) rows = rows.sort((a, b) => (b.score ?? -Infinity) - (a.score ?? -Infinity)).slice(0, MOST);
    for (const row of rows) {
      const group = row.state === "exploded" ? "exploded" : row.shade < 0 ? "none" : `shade-${row.shade}`;
      paths.set(group, (paths.get(group) ?? "") + this.path(row));
    }
    const groups = ["none", "exploded", ...Array.from({ length: SHADES }, (_, index) => `shade-${index}`)];
    this.lines?.setAttribute("class", rows.length > 300 ? "lines many" : "lines");
    this.lines?.replaceChildren(...groups.filter((name) => paths.get(name)).map((name) => svg("path", { class: name, d: paths.get(name) })));
    this.mark(this.model.hovered);
  }

  /** @param {Row} row */
  path(row) {
    const places = [...row.places, row.score === null ? null : scorePlace(this.model, row.score)];
    let d = "";
    let open = false;
    places.forEach((place, index) => {
      if (place === null) {
        open = false;
        return;
      }
      d += `${open ? "L" : "M"}${this.x(index).toFixed(1)} ${y(place).toFixed(1)}`;
      open = true;
    });
    return d;
  }

  /** @param {string} key */
  mark(key) {
    const row = this.model.rows.get(key);
    this.marked?.setAttribute("d", row ? this.path(row) : "");
  }
}

/** @param {number} place */
const y = (place) => HEIGHT - BOTTOM - place * (HEIGHT - TOP - BOTTOM);

/** Selects at most seven ticks. @param {[number, string][]} ticks */
function thinned(ticks) {
  const stride = Math.ceil(ticks.length / 7);
  return ticks.filter((_, index) => index % stride === 0);
}
