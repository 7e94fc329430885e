// @ts-check
// The columns of the table: what each shows of a trial, and what it is sorted by.

import { html, set } from "./dom.js";
import { MISSING, numberText, percentText } from "./numbers.js";
import { drawSpark, makeSpark } from "./spark.js";

/**
 * @typedef {import("./model.js").Model} Model
 * @typedef {import("./model.js").Row} Row
 * @typedef {{id: string, label: string, title: string, numeric: boolean, descending: boolean,
 *   value: (row: Row) => string | number | null, fill: (cell: HTMLElement, row: Row) => void}} Column
 */

/**
 * Writes a cell, if it does not say so already.
 * @param {HTMLElement} cell
 * @param {string} text
 */
export function write(cell, text) {
  if (cell.textContent !== text) cell.textContent = text;
}

/**
 * The columns of a study: a tick, the trial, its hyperparameters, what came of it.
 * @param {Model} model
 * @returns {Column[]}
 */
export function columnsOf(model) {
  const { board } = model;
  /**
   * @param {string} id @param {string} label @param {string} title @param {(row: Row) => number | null} value
   * @param {(row: Row) => string} text @param {boolean} [descending]
   * @returns {Column}
   */
  const number = (id, label, title, value, text, descending = true) => ({
    id, label, title, numeric: true, descending, value, fill: (cell, row) => write(cell, text(row)),
  });
  const score = board.accuracy
    ? number("score", "val acc", "best validation accuracy", (row) => row.score, (row) => percentText(row.score))
    : number("score", "val loss", "lowest validation loss", (row) => row.score, (row) => numberText(row.score === null ? null : -row.score));
  return [
    { id: "pick", label: "", title: "Tick", numeric: false, descending: false, value: () => 0, fill: (cell, row) => fillPick(cell, row, model) },
    { id: "name", label: "trial", title: "stage and number", numeric: false, descending: false, value: (row) => row.stage * 1e9 + row.number, fill: (cell, row) => fillName(cell, row, model) },
    { id: "state", label: "state", title: "state of the run", numeric: false, descending: false, value: (row) => row.state, fill: fillState },
    ...board.knobs.map((knob, index) => /** @type {Column} */ ({
      id: `knob-${knob.name}`, label: knob.name, title: `hyperparameter ${knob.name}`, numeric: !knob.options.length, descending: false,
      value: (row) => (row.values[index] === MISSING ? null : knob.options.length ? row.values[index] : Number(row.values[index])),
      fill: (cell, row) => write(cell, row.values[index]),
    })),
    score,
    ...(board.accuracy ? [number("gap", "gap", "training minus validation accuracy, after the last epoch", (row) => row.gap, (row) => gapText(row.gap))] : []),
    number("cost", "cost", "the last mini-batch's cost", (row) => row.cost, (row) => numberText(row.cost), false),
    { id: "spark", label: "cost by step", title: "the cost of every step, thinned; spikes are kept", numeric: false, descending: false, value: (row) => row.cost, fill: (cell, row) => fillSpark(cell, row, model) },
    { id: "findings", label: "findings", title: "causes found", numeric: false, descending: true, value: (row) => row.findings, fill: fillFindings },
    number("epochs", "epochs", "epochs done, of those of its stage", (row) => row.epochs, (row) => epochsText(row, board)),
    number("steps", "steps", "update steps done", (row) => row.steps, (row) => String(row.steps)),
  ];
}

/** @param {Row} row @param {import("./model.js").Board} board */
function epochsText(row, board) {
  const asked = board.stages[row.stage]?.epochs;
  return asked ? `${row.epochs}/${asked}` : String(row.epochs);
}

/** @param {number | null} gap */
function gapText(gap) {
  return gap === null ? MISSING : `${gap < 0 ? "−" : ""}${Math.abs(100 * gap).toFixed(1)} %`;
}

/** @param {HTMLElement} cell @param {Row} row @param {Model} model */
function fillPick(cell, row, model) {
  if (cell.firstChild) return;
  const box = /** @type {HTMLInputElement} */ (html("input", { type: "checkbox", "aria-label": `tick ${row.name}` }));
  box.checked = model.ticked.has(row.key);
  cell.append(box);
}

/** @param {HTMLElement} cell @param {Row} row @param {Model} model */
function fillName(cell, row, model) {
  if (!cell.firstChild) cell.append(html("a", { href: model.address(row) }, row.name), html("span", { class: "rank" }));
  const rank = /** @type {HTMLElement} */ (cell.lastChild);
  const [text, meaning] = row.best
    ? ["★", "the best"]
    : row.tied
      ? ["≈", "within one standard error of the best: a tie"]
      : row.factor !== null
        ? ["✎", `the user multiplied its learning rate with ${numberText(row.factor)}: it counts for no range`]
        : ["", undefined];
  if (rank.textContent === text) return;
  rank.textContent = text;
  set(rank, { title: meaning, role: meaning && "img", "aria-label": meaning });
}

/** @param {HTMLElement} cell @param {Row} row */
function fillState(cell, row) {
  if (!cell.firstChild) cell.append(html("span", {}));
  const word = /** @type {HTMLElement} */ (cell.firstChild);
  write(word, row.state);
  word.className = `state ${row.state}`;
  set(word, { title: row.note || undefined });
}

/** @param {HTMLElement} cell @param {Row} row @param {Model} model */
function fillSpark(cell, row, model) {
  if (!cell.firstChild) cell.append(makeSpark());
  const epochs = model.board.stages[row.stage]?.epochs ?? row.epochs;
  // A run that ended early is short; one that has only begun is long enough to be read.
  const least = row.state === "running" ? 0.35 : 0.06;
  const share = row.state === "complete" || !epochs ? 1 : Math.min(1, Math.max(least, (row.epochs + 0.5) / epochs));
  drawSpark(/** @type {SVGElement} */ (cell.firstChild), row.spark, row.state === "exploded", share);
}

/** @param {HTMLElement} cell @param {Row} row */
function fillFindings(cell, row) {
  if (cell.dataset.found === `${row.findings} ${row.severity}`) return;
  cell.dataset.found = `${row.findings} ${row.severity}`;
  const words = `${row.findings} ${row.findings === 1 ? "cause" : "causes"}, the most severe: ${row.severity}`;
  const mark = html("span", { class: `finding ${row.severity}`, title: words, role: "img", "aria-label": words }, String(row.findings));
  cell.replaceChildren(...(row.findings ? [mark] : []));
}
