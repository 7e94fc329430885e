// @ts-check
// The trials as the server last told them, and who wants to know of a change.

/**
 * @typedef {{name: string, low: number, high: number, log: boolean, options: string[], maker: string,
 *   ticks: [number, string][], boxes: ([number, number] | null)[]}} Knob
 * @typedef {{study: number, accuracy: boolean, columns: string[], stages: {name: string, epochs: number}[],
 *   knobs: Knob[], command: string[]}} Board
 * @typedef {{key: string, name: string, stage: number, number: number, state: string, score: number | null,
 *   gap: number | null, cost: number | null, epochs: number, steps: number, findings: number, severity: string,
 *   note: string, factor: number | null, version: number, spark: string, places: (number | null)[], values: string[], shade: number,
 *   best: boolean, tied: boolean}} Row
 */

const SHADES = 9;

/** @param {number} stage @param {number} number */
export const keyOf = (stage, number) => `${stage}-${number}`;

export class Model {
  /** @param {{board: Board, rows: any[][], edition: string, ties: [number, number][]}} data */
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
    this.ties = new Set(data.ties.map((key) => keyOf(...key)));
    this.hovered = "";
    /** @type {Record<string, ((detail: any) => void)[]>} */
    this.listeners = {};
    this.board = data.board;
    this.edition = data.edition;
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
   * Takes what the server says is new. The same row may come twice.
   * @param {any} news
   */
  apply(news) {
    const known = this.best?.key;
    if (news.ties) this.ties = new Set(news.ties.map((/** @type {[number, number]} */ key) => keyOf(...key)));
    if (news.board) {
      this.board = news.board;
      this.edition = news.edition;
      this.rows.clear();
      this.take(news.rows);
      this.tell("board");
      return;
    }
    if (!news.rows) return;
    const changed = this.take(news.rows);
    // Another best one changes the shade of all; otherwise only what was told has changed.
    this.tell("rows", known === this.best?.key ? changed : [...this.rows.values()]);
  }

  /**
   * @param {any[][]} told
   * @returns {Row[]}
   */
  take(told) {
    const columns = this.board.columns;
    const changed = told.map((cells) => {
      const row = /** @type {any} */ (Object.fromEntries(columns.map((name, index) => [name, cells[index]])));
      row.key = keyOf(row.stage, row.number);
      row.name = this.nameOf(row.stage, row.number);
      this.rows.set(row.key, row);
      return /** @type {Row} */ (row);
    });
    this.judge();
    return changed;
  }

  /** Finds the best, and the shade of every score; as views/series.py: one hopeless trial must not paint all alike. */
  judge() {
    const scored = [...this.rows.values()].filter((row) => row.score !== null);
    scored.sort((a, b) => /** @type {number} */ (b.score) - /** @type {number} */ (a.score) || a.stage - b.stage || a.number - b.number);
    // One whose learning rate was changed by hand says nothing of the rate it was drawn with.
    this.best = scored.find((row) => row.factor === null) ?? scored[0] ?? null;
    const scores = scored.map((row) => /** @type {number} */ (row.score));
    if (scores.length) {
      const half = (scores.length - 1) / 2;
      const middle = (scores[Math.floor(half)] + scores[Math.ceil(half)]) / 2;
      const lowest = scores[scores.length - 1];
      const best = scores[0];
      this.shades = [middle < best ? Math.max(lowest, best - 3 * (best - middle)) : lowest, best];
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
   * A trial as people call it; the only run of a program that is no search has no other name.
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
