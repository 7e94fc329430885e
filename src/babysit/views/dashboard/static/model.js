// @ts-check
// The trials as the server last sent them, and the listeners that are called after a change.

/**
 * @typedef {{name: string, low: number, high: number, log: boolean, options: string[], maker: string,
 *   ticks: [number, string][], boxes: ([number, number] | null)[]}} Knob
 * @typedef {{study: number, accuracy: boolean, columns: string[], stages: {name: string, epochs: number}[],
 *   knobs: Knob[], command: string[]}} Board
 * @typedef {{key: string, name: string, stage: number, number: number, state: string, score: number | null,
 *   gap: number | null, cost: number | null, epochs: number, steps: number, findings: number, severity: string,
 *   note: string, factor: number | null, version: number, spark: string, places: (number | null)[], values: string[], shade: number,
 *   best: boolean, tied: boolean}} Row
 * @typedef {[stage: number, number: number]} Key
 */

const SHADES = 9;

/** @param {number} stage @param {number} number */
export const keyOf = (stage, number) => `${stage}-${number}`;

export class Model {
  /** @param {{board: Board, rows: any[][], edition: string, best: Key | null, ties: Key[]}} data */
  constructor(data) {
    /** @type {Map<string, Row>} */
    this.rows = new Map();
    /** @type {Set<string>} */
    this.ticked = new Set();
    /** @type {[number, number]} the scores at the first and the last shade */
    this.shades = [0, 1];
    /** @type {Row | null} */
    this.best = null;
    /** @type {Set<string>} */
    this.ties = new Set();
    this.bestKey = "";
    this.hovered = "";
    /** @type {Record<string, ((detail: any) => void)[]>} */
    this.listeners = {};
    this.board = data.board;
    this.edition = data.edition;
    this.judged(data);
    this.take(data.rows);
  }

  /**
   * @param {"rows" | "board" | "hover" | "ticked"} what
   * @param {(detail: any) => void} listener
   */
  on(what, listener) {
    (this.listeners[what] ??= []).push(listener);
  }

  /** @param {string} what @param {any} [detail] */
  tell(what, detail) {
    for (const listener of this.listeners[what] ?? []) listener(detail);
  }

  /**
   * Takes the changes that the server sent. The same row may come twice.
   * @param {any} news
   */
  apply(news) {
    const changed = this.judged(news);
    if (news.board) {
      this.board = news.board;
      this.edition = news.edition;
      this.rows.clear();
      this.take(news.rows);
      this.tell("board");
      return;
    }
    if (!news.rows && !changed) return;
    const highest = this.shades[1];
    const rows = this.take(news.rows ?? []);
    // Another best trial, other ties or another highest score change the marks and shades of all rows.
    this.tell("rows", changed || highest !== this.shades[1] ? [...this.rows.values()] : rows);
  }

  /**
   * Takes the server's judgement: the best trial and those that tie with it.
   * @param {{best: Key | null, ties: Key[]}} data
   * @returns {boolean} whether it differs from the last one
   */
  judged(data) {
    const known = [this.bestKey, ...this.ties].join();
    this.bestKey = data.best ? keyOf(...data.best) : "";
    this.ties = new Set(data.ties.map((key) => keyOf(...key)));
    return known !== [this.bestKey, ...this.ties].join();
  }

  /**
   * Takes new and changed rows, and marks and shades all of them anew.
   * @param {any[][]} cellsOfRows
   * @returns {Row[]} the rows taken
   */
  take(cellsOfRows) {
    const columns = this.board.columns;
    const changed = cellsOfRows.map((cells) => {
      const row = /** @type {any} */ (Object.fromEntries(columns.map((name, index) => [name, cells[index]])));
      row.key = keyOf(row.stage, row.number);
      row.name = this.nameOf(row.stage, row.number);
      this.rows.set(row.key, row);
      return /** @type {Row} */ (row);
    });
    this.mark();
    return changed;
  }

  /** Marks the best trial and its ties, and finds the shade of every score as `shade_range` in views/data/series.py does. */
  mark() {
    this.best = this.rows.get(this.bestKey) ?? null;
    const scores = [...this.rows.values()].flatMap((row) => (row.score === null ? [] : [row.score])).sort((a, b) => b - a);
    if (scores.length) {
      const half = (scores.length - 1) / 2;
      const middle = (scores[Math.floor(half)] + scores[Math.ceil(half)]) / 2;
      const lowest = scores[scores.length - 1];
      const highest = scores[0];
      this.shades = [middle < highest ? Math.max(lowest, highest - 3 * (highest - middle)) : lowest, highest];
    }
    for (const row of this.rows.values()) {
      row.shade = this.shadeOf(row.score);
      row.best = row === this.best;
      row.tied = this.ties.has(row.key) && !row.best;
    }
  }

  /**
   * One of nine shades, 0 the worst; -1 without a score.
   * @param {number | null} score
   */
  shadeOf(score) {
    if (score === null) return -1;
    const [low, high] = this.shades;
    const share = high > low ? (score - low) / (high - low) : 1;
    return Math.round(Math.min(1, Math.max(0, share)) * (SHADES - 1));
  }

  /** @param {string} key empty for none */
  hover(key) {
    if (key === this.hovered) return;
    this.hovered = key;
    this.tell("hover", key);
  }

  /** @param {string} key @param {boolean} [wanted] */
  tick(key, wanted = !this.ticked.has(key)) {
    if (wanted) this.ticked.add(key);
    else this.ticked.delete(key);
    this.tell("ticked");
  }

  /**
   * The name of a trial; in a study without stages, which is not a search, it is a run.
   * @param {number} stage @param {number} number
   */
  nameOf(stage, number) {
    if (!this.board.stages.length) return `run ${number}`;
    return `${this.board.stages[stage]?.name ?? stage} ${number}`;
  }

  /** @param {Row} row */
  address(row) {
    return `/r/${this.board.study}/${row.stage}/${row.number}`;
  }
}
