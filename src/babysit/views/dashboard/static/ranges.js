// @ts-check
// From places on an axis to values, and to the command that searches between them.

import { exponentText, numberText } from "./numbers.js";

/**
 * @typedef {import("./model.js").Board} Board
 * @typedef {import("./model.js").Knob} Knob
 */

/**
 * Returns the value at a place of an axis, as the command line reads it.
 * @param {Knob} knob
 * @param {number} place 0 to 1
 */
export function valueAt(knob, place) {
  const value = knob.log ? knob.low * (knob.high / knob.low) ** place : knob.low + place * (knob.high - knob.low);
  if (knob.maker.startsWith("integer")) return String(Math.round(value));
  return knob.log ? exponentText(value) : numberText(value, 3);
}

/**
 * Returns a range as it is written after -s.
 * @param {Knob} knob
 * @param {string} low
 * @param {string} high
 */
export function rangeText(knob, low, high) {
  return knob.maker.replace("{}", low).replace("{}", high);
}

/**
 * Returns the study's command with other ranges.
 * @param {Board} board
 * @param {Record<string, string>} ranges
 */
export function command(board, ranges) {
  const kept = board.command.filter((word, index, words) => !isSetting(words, index, ranges) && !isSetting(words, index + 1, ranges));
  const settings = Object.entries(ranges).flatMap(([name, range]) => ["-s", `${name}=${range}`]);
  return [...kept.slice(0, 3), ...settings, ...kept.slice(3)].map(quoted).join(" ");
}

/** Returns true for a word that sets one of the names. @param {string[]} words @param {number} index @param {Record<string, string>} ranges */
function isSetting(words, index, ranges) {
  return words[index - 1] === "-s" && (words[index]?.split("=")[0] ?? "") in ranges;
}

/** Quotes a word for a shell. @param {string} word */
export function quoted(word) {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`;
}
