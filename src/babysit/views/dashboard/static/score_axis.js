// @ts-check
// The score as an axis beside those of the hyperparameters.

import { numberText } from "./numbers.js";

/**
 * @typedef {import("./model.js").Model} Model
 * @typedef {import("./model.js").Knob} Knob
 */

/** The score as an axis. @param {Model} model @returns {Knob} */
export function scoreKnob(model) {
  const [low, high] = scoreEnds(model);
  const ticks = /** @type {[number, string][]} */ (
    [0, 0.25, 0.5, 0.75, 1].map((place) => {
      const score = low + place * (high - low);
      return [place, model.board.accuracy ? `${(100 * score).toFixed(0)} %` : numberText(-score, 2)];
    })
  );
  return { name: model.board.accuracy ? "val acc" : "val loss", low, high, log: false, options: [], maker: "", ticks, boxes: model.board.stages.map(() => null) };
}

/** @param {Model} model @param {number} score */
export function scorePlace(model, score) {
  const [low, high] = scoreEnds(model);
  return Math.min(1, Math.max(0, (score - low) / (high - low)));
}

/** The scores at the ends of their axis: accuracies from 0 to 1. @param {Model} model @returns {[number, number]} */
function scoreEnds(model) {
  if (model.board.accuracy) return [0, 1];
  const [low, high] = model.shades;
  return high > low ? [low, high] : [low - 1, high + 1];
}
