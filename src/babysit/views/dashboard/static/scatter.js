// @ts-check
// The trials in the plane of two hyperparameters. Places come from the server; here they become coordinates.
// All points of one shade are one path, so ten thousand cost as much as ten.

import { byId, html, svg } from "./dom.js";
import { NextRange } from "./next_range.js";
import { numberText, percentText } from "./numbers.js";
import { scoreKnob, scorePlace } from "./score_axis.js";

/**
 * @typedef {import("./model.js").Model} Model
 * @typedef {import("./model.js").Row} Row
 * @typedef {import("./model.js").Knob} Knob
 */

const WIDTH = 560;
const HEIGHT = 400;
const LEFT = 62;
const RIGHT = 12;
const TOP = 12;
const BOTTOM = 46;
const NEAR = 16;
export const SHADES = 9;

export class Scatter {
  /** @param {Model} model */
  constructor(model) {
    this.model = model;
    this.place = byId("plane");
    this.across = /** @type {HTMLSelectElement} */ (byId("across"));
    this.up = /** @type {HTMLSelectElement} */ (byId("up"));
    this.tip = html("div", { class: "tip", hidden: true });
    /** @type {{x: number, y: number} | null} where a drag began */
    this.from = null;
    this.range = new NextRange(model, () => this.setBox(null));
    this.build();
    this.listen();
    model.on("rows", () => this.draw());
    model.on("board", () => this.build());
    model.on("hover", (key) => this.mark(key));
  }

  build() {
    const axes = [...this.model.board.knobs.map((knob) => knob.name), this.scoreName()];
    const [x, y] = [this.across.value, this.up.value];
    for (const select of [this.across, this.up]) {
      select.replaceChildren(...axes.map((name, index) => html("option", { value: index }, name)));
    }
    const wanted = firstPair(this.model.board.knobs);
    this.across.value = x && Number(x) < axes.length ? x : String(wanted[0]);
    this.up.value = y && Number(y) < axes.length ? y : String(wanted[1]);
    byId("plane-card").hidden = !this.model.board.knobs.length;
    this.frame();
  }

  scoreName() {
    return this.model.board.accuracy ? "val acc" : "val loss";
  }

  /** @param {HTMLSelectElement} select @returns {Knob} */
  knob(select) {
    return this.model.board.knobs[Number(select.value)] ?? scoreKnob(this.model);
  }

  /** @param {Row} row @param {HTMLSelectElement} select @returns {number | null} */
  placeOf(row, select) {
    const index = Number(select.value);
    if (index < this.model.board.knobs.length) return row.places[index];
    return row.score === null ? null : scorePlace(this.model, row.score);
  }

  /** Axes and boxes; drawn anew when other hyperparameters are chosen. */
  frame() {
    const [x, y] = [this.knob(this.across), this.knob(this.up)];
    const root = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" });
    root.append(svg("rect", { class: "ground", x: LEFT, y: TOP, width: WIDTH - LEFT - RIGHT, height: HEIGHT - TOP - BOTTOM }));
    for (const [place, label] of x.ticks) {
      root.append(line(px(place), px(place), TOP, HEIGHT - BOTTOM), words(label, px(place), HEIGHT - BOTTOM + 17, "middle"));
    }
    for (const [place, label] of y.ticks) {
      root.append(line(LEFT, WIDTH - RIGHT, py(place), py(place)), words(label, LEFT - 8, py(place) + 4, "end"));
    }
    root.append(
      words(x.name, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, "middle", "name"),
      svg("text", { class: "name", transform: `translate(14 ${(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)`, "text-anchor": "middle" }, y.name),
    );
    this.points = svg("g", { class: "points" });
    this.ring = svg("circle", { class: "ring", r: 9, cx: -99, cy: -99 });
    this.drag = svg("rect", { class: "drag", x: 0, y: 0, width: 0, height: 0 });
    root.append(...this.stageBoxes(x, y), this.points, ...this.stageNames(x, y), this.ring, this.drag);
    this.root = root;
    this.place.replaceChildren(root, this.tip);
    this.setBox(null);
    this.draw();
  }

  /** @param {Knob} x @param {Knob} y @returns {{name: string, left: number, right: number, top: number, bottom: number}[]} */
  searched(x, y) {
    return this.model.board.stages.flatMap((stage, index) => {
      const [across, up] = [x.boxes[index], y.boxes[index]];
      if (!across || !up) return [];
      return [{ name: stage.name, left: px(across[0]), right: px(across[1]), bottom: py(up[0]), top: py(up[1]) }];
    });
  }

  /** @param {Knob} x @param {Knob} y */
  stageBoxes(x, y) {
    return this.searched(x, y).map((box) => svg("rect", { class: "searched", x: box.left, y: box.top, width: box.right - box.left, height: box.bottom - box.top }));
  }

  /** @param {Knob} x @param {Knob} y */
  stageNames(x, y) {
    return this.searched(x, y).map((box) => words(box.name, box.left + 6, box.top + 14, "start", "stage"));
  }

  draw() {
    if (!this.points || !this.root) return;
    const paths = /** @type {Map<string, string>} */ (new Map());
    /** @param {string} group @param {string} d */
    const add = (group, d) => paths.set(group, (paths.get(group) ?? "") + d);
    const count = this.model.rows.size;
    const crowd = count > 2000 ? "vast" : count > 300 ? "many" : "few";
    const arm = { vast: 2, many: 3, few: 4 }[crowd];
    /** @type {{key: string, x: number, y: number}[]} */
    this.at = [];
    for (const row of this.model.rows.values()) {
      const [across, up] = [this.placeOf(row, this.across), this.placeOf(row, this.up)];
      const atFoot = up === null && row.state === "exploded" && Number(this.up.value) >= this.model.board.knobs.length;
      if (across === null || (up === null && !atFoot)) continue;
      const [x, y] = [px(across), py(up ?? 0.02)];
      this.at.push({ key: row.key, x, y });
      const dot = `M${x.toFixed(1)} ${y.toFixed(1)}h0`;
      if (row.state === "exploded") add("exploded", `M${(x - arm).toFixed(1)} ${(y - arm).toFixed(1)}l${2 * arm} ${2 * arm}m0-${2 * arm}l-${2 * arm} ${2 * arm}`);
      else if (row.shade < 0) add(row.state === "running" || row.state === "waiting" ? "open" : "none", dot);
      else add(`shade-${row.shade}`, dot);
      if (row.best) add("best", `M${(x - 10).toFixed(1)} ${y.toFixed(1)}a10 10 0 1 0 20 0a10 10 0 1 0 -20 0`);
      else if (row.state === "running" && row.shade >= 0) add("alive", `M${(x - 7).toFixed(1)} ${y.toFixed(1)}a7 7 0 1 0 14 0a7 7 0 1 0 -14 0`);
    }
    const groups = ["none", "open", ...Array.from({ length: SHADES }, (_, index) => `shade-${index}`), "exploded", "alive", "best"];
    this.points.setAttribute("class", `points ${crowd}`);
    this.points.replaceChildren(
      ...groups.filter((name) => paths.has(name)).flatMap((name) => {
        const d = paths.get(name);
        return name.startsWith("shade") ? [svg("path", { class: "rim", d }), svg("path", { class: name, d })] : [svg("path", { class: name, d })];
      }),
    );
    this.root.setAttribute("aria-label", `${this.at.length} trials by ${this.knob(this.across).name} and ${this.knob(this.up).name}; the table holds the same`);
    this.legend(paths.has("exploded"), paths.has("alive") || paths.has("open"));
    this.mark(this.model.hovered);
  }

  /** @param {boolean} exploded @param {boolean} running */
  legend(exploded, running) {
    const [low, high] = this.model.shades.map((score) => (this.model.board.accuracy ? percentText(score) : numberText(-score)));
    const bar = svg("svg", { viewBox: "0 0 90 8", class: "ramp", "aria-hidden": "true" }, ...Array.from({ length: SHADES }, (_, index) => svg("rect", { class: `shade-${index}`, x: index * 10, y: 0, width: 10.4, height: 8 })));
    /** @param {string} name @param {string} d @param {string} text */
    const mark = (name, d, text) => html("span", {}, svg("svg", { viewBox: "0 0 14 14", class: "mark", "aria-hidden": "true" }, svg("path", { class: name, d })), text);
    byId("legend").replaceChildren(
      ...(this.model.best
        ? [html("span", {}, `${this.scoreName()} ${low}`, bar, high ?? ""), mark("best", "M2 7a5 5 0 1 0 10 0a5 5 0 1 0 -10 0", "best")]
        : [html("span", {}, "no trial has a score yet")]),
      ...(running ? [mark("alive", "M3 7a4 4 0 1 0 8 0a4 4 0 1 0 -8 0", "running")] : []),
      ...(exploded ? [mark("exploded", "M3 3l8 8m0-8l-8 8", "exploded")] : []),
    );
  }

  listen() {
    for (const select of [this.across, this.up]) select.addEventListener("change", () => this.frame());
    this.place.addEventListener("pointermove", (event) => this.moved(event));
    this.place.addEventListener("pointerleave", () => !this.from && this.model.hover(""));
    this.place.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      this.from = this.where(event);
      this.place.setPointerCapture(event.pointerId);
      event.preventDefault();
    });
    this.place.addEventListener("pointerup", (event) => this.released(event));
    this.place.addEventListener("pointercancel", () => (this.from = null));
  }

  /** @param {PointerEvent} event the place in the figure's own units */
  where(event) {
    const bounds = /** @type {SVGElement} */ (this.root).getBoundingClientRect();
    return { x: ((event.clientX - bounds.left) / bounds.width) * WIDTH, y: ((event.clientY - bounds.top) / bounds.height) * HEIGHT };
  }

  /** @param {PointerEvent} event */
  moved(event) {
    const now = this.where(event);
    if (this.from) {
      this.drawDrag(this.from, now);
      return;
    }
    this.model.hover(this.nearest(now));
  }

  /** @param {{x: number, y: number}} now @returns {string} */
  nearest(now) {
    let found = "";
    let least = NEAR * NEAR;
    for (const { key, x, y } of this.at ?? []) {
      const distance = (x - now.x) ** 2 + (y - now.y) ** 2;
      if (distance < least) [found, least] = [key, distance];
    }
    return found;
  }

  /** @param {PointerEvent} event */
  released(event) {
    const from = this.from;
    this.from = null;
    if (!from) return;
    const now = this.where(event);
    if (Math.hypot(now.x - from.x, now.y - from.y) < 6) {
      const row = this.model.rows.get(this.nearest(now));
      if (row) location.assign(this.model.address(row));
      else this.setBox(null);
      return;
    }
    const [left, right] = [from.x, now.x].sort((a, b) => a - b).map(placeX);
    const [bottom, top] = [from.y, now.y].sort((a, b) => b - a).map(placeY);
    this.setBox([left, bottom, right, top]);
  }

  /** @param {{x: number, y: number}} a @param {{x: number, y: number}} b */
  drawDrag(a, b) {
    const [left, right] = [a.x, b.x].map(clampX).sort((m, n) => m - n);
    const [top, bottom] = [a.y, b.y].map(clampY).sort((m, n) => m - n);
    for (const [name, value] of Object.entries({ x: left, y: top, width: right - left, height: bottom - top })) this.drag?.setAttribute(name, String(value));
  }

  /** @param {[number, number, number, number] | null} box left, bottom, right, top as places; null for none */
  setBox(box) {
    if (!box) {
      this.drag?.setAttribute("width", "0");
      this.range.hide();
      return;
    }
    const [left, bottom, right, top] = box;
    this.drawDrag({ x: px(left), y: py(bottom) }, { x: px(right), y: py(top) });
    const rows = [...this.model.rows.values()].filter((row) => {
      const [x, y] = [this.placeOf(row, this.across), this.placeOf(row, this.up)];
      return x !== null && y !== null && x >= left && x <= right && y >= bottom && y <= top;
    });
    this.range.show([{ knob: this.knob(this.across), low: left, high: right }, { knob: this.knob(this.up), low: bottom, high: top }], rows);
  }

  /** @param {string} key */
  mark(key) {
    const at = this.at?.find((one) => one.key === key);
    const row = this.model.rows.get(key);
    this.ring?.setAttribute("cx", String(at ? at.x : -99));
    this.ring?.setAttribute("cy", String(at ? at.y : -99));
    this.tip.hidden = !at || !row || Boolean(this.from);
    if (!at || !row || this.tip.hidden) return;
    this.tip.replaceChildren(html("strong", {}, row.name), ` ${row.state}`, html("br"), ...this.model.board.knobs.flatMap((knob, index) => [`${knob.name} ${row.values[index]}`, html("br")]), row.note || `${this.scoreName()} ${this.model.board.accuracy ? percentText(row.score) : numberText(row.score === null ? null : -row.score)}`);
    const toLeft = at.x > WIDTH * 0.6;
    this.tip.style.left = toLeft ? "auto" : `${(100 * (at.x + 14)) / WIDTH}%`;
    this.tip.style.right = toLeft ? `${(100 * (WIDTH - at.x + 14)) / WIDTH}%` : "auto";
    this.tip.style.top = `${(100 * Math.min(at.y, HEIGHT * 0.7)) / HEIGHT}%`;
  }
}

/** @param {number} place */
const px = (place) => LEFT + place * (WIDTH - LEFT - RIGHT);
/** @param {number} place */
const py = (place) => HEIGHT - BOTTOM - place * (HEIGHT - TOP - BOTTOM);
/** @param {number} x */
const clampX = (x) => Math.min(Math.max(x, LEFT), WIDTH - RIGHT);
/** @param {number} y */
const clampY = (y) => Math.min(Math.max(y, TOP), HEIGHT - BOTTOM);
/** @param {number} x */
const placeX = (x) => (clampX(x) - LEFT) / (WIDTH - LEFT - RIGHT);
/** @param {number} y */
const placeY = (y) => (HEIGHT - BOTTOM - clampY(y)) / (HEIGHT - TOP - BOTTOM);

/** @param {number} x1 @param {number} x2 @param {number} y1 @param {number} y2 */
const line = (x1, x2, y1, y2) => svg("line", { class: "grid", x1, x2, y1, y2 });
/** @param {string} text @param {number} x @param {number} y @param {string} anchor @param {string} [kind] */
const words = (text, x, y, anchor, kind = "tick") => svg("text", { class: kind, x, y, "text-anchor": anchor }, text);

/** The learning rate and l2 where both were searched, else the first two; one alone goes with the score. @param {Knob[]} knobs */
function firstPair(knobs) {
  const names = knobs.map((knob) => knob.name);
  const rate = names.indexOf("learning_rate");
  const penalty = names.indexOf("l2");
  if (rate >= 0 && penalty >= 0) return [rate, penalty];
  const first = rate >= 0 ? rate : 0;
  const second = names.findIndex((_, index) => index !== first);
  return [first, second >= 0 ? second : knobs.length];
}
