// @ts-check
// The filter box: words, and comparisons such as `lr<1e-4 val>0.4 state=running`. All must hold.

/**
 * @typedef {import("./model.js").Row} Row
 * @typedef {import("./model.js").Board} Board
 * @typedef {{test: (row: Row) => boolean, problem: string}} Filter
 */

const COMPARISON = /^([A-Za-z_][\w.]*)(<=|>=|!=|==|<|>|=|:)(.*)$/;

/** Short names, and those of the columns that are not hyperparameters. */
const FIELDS = /** @type {Record<string, keyof Row>} */ ({
  val: "score", acc: "score", accuracy: "score", score: "score", gap: "gap", cost: "cost", loss: "cost",
  epochs: "epochs", epoch: "epochs", steps: "steps", step: "steps", findings: "findings", state: "state",
  trial: "number", number: "number",
});
const NICKNAMES = /** @type {Record<string, string[]>} */ ({
  lr: ["learning_rate"], reg: ["l2", "weight_decay", "l1"], wd: ["weight_decay", "l2"],
});

/**
 * Reads a filter.
 * @param {string} text
 * @param {Board} board
 * @returns {Filter}
 */
export function readFilter(text, board) {
  const problems = /** @type {string[]} */ ([]);
  const tests = text
    .trim()
    .split(/\s+/)
    .filter(Boolean)
    .map((word) => {
      const parts = COMPARISON.exec(word);
      if (!parts) return saying(word);
      const value = valueOf(parts[1], board);
      if (!value) {
        problems.push(`no column ${parts[1]}: there are ${names(board).join(", ")}`);
        return () => true;
      }
      if (!parts[3]) return () => true; // still being typed
      return comparing(value, parts[2], parts[3]);
    });
  return { test: (row) => tests.every((test) => test(row)), problem: problems[0] ?? "" };
}

/** @param {Board} board */
function names(board) {
  return [...board.knobs.map((knob) => knob.name), "val", "gap", "cost", "epochs", "steps", "findings", "state", "stage"];
}

/**
 * Tests that a word is somewhere in the row.
 * @param {string} word
 * @returns {(row: Row) => boolean}
 */
function saying(word) {
  const wanted = word.toLowerCase();
  return (row) => [row.name, row.state, row.note, ...row.values].some((text) => text.toLowerCase().includes(wanted));
}

/**
 * Returns a function that reads the value of a name from a row.
 * @param {string} name
 * @param {Board} board
 * @returns {((row: Row) => string | number | null) | null}
 */
function valueOf(name, board) {
  const wanted = name.toLowerCase();
  const knob = knobOf(wanted, board);
  if (knob >= 0) return (row) => row.values[knob];
  if (wanted === "stage") return (row) => board.stages[row.stage]?.name ?? row.stage;
  const field = FIELDS[wanted];
  if (!field) return null;
  if (field === "score" && !board.accuracy) return (row) => (row.score === null ? null : -row.score);
  return (row) => /** @type {any} */ (row[field]);
}

/**
 * Finds the hyperparameter of a name: in full, by a usual short form, or by a unique beginning.
 * @param {string} name
 * @param {Board} board
 */
function knobOf(name, board) {
  const all = board.knobs.map((knob) => knob.name.toLowerCase());
  const exact = all.indexOf(name);
  if (exact >= 0 || FIELDS[name]) return exact;
  for (const long of NICKNAMES[name] ?? []) {
    if (all.includes(long)) return all.indexOf(long);
  }
  const beginning = all.filter((one) => one.startsWith(name));
  return beginning.length === 1 ? all.indexOf(beginning[0]) : -1;
}

/**
 * @param {(row: Row) => string | number | null} value
 * @param {string} operator
 * @param {string} given
 * @returns {(row: Row) => boolean}
 */
function comparing(value, operator, given) {
  const wanted = given.endsWith("%") ? Number(given.slice(0, -1)) / 100 : Number(given);
  const isNumber = given !== "" && !Number.isNaN(wanted);
  return (row) => {
    const found = value(row);
    if (found === null || found === "–") return operator === "!=";
    const number = Number(found);
    if (isNumber && !Number.isNaN(number)) return compare(number, operator, wanted);
    const [left, right] = [String(found).toLowerCase(), given.toLowerCase()];
    if (operator === "!=") return left !== right;
    return operator === ":" ? left.includes(right) : operator.includes("=") && left === right;
  };
}

/** @param {number} left @param {string} operator @param {number} right */
function compare(left, operator, right) {
  switch (operator) {
    case "<":
      return left < right;
    case "<=":
      return left <= right;
    case ">":
      return left > right;
    case ">=":
      return left >= right;
    case "!=":
      return left !== right;
    default:
      return left === right || Math.abs(left - right) <= 5e-4 * Math.abs(right); // as it is shown
  }
}
