// @ts-check
// A sparkline from its text: one letter a bucket, as views/data/sparklines.py writes it.

import { svg } from "./dom.js";

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const HEIGHT_OF = new Map([...LETTERS].map((letter, index) => [letter, index / (LETTERS.length - 1)]));
const WIDTH = 96;
const HEIGHT = 22;

/**
 * Returns the path of a curve and its end.
 * @param {string} text
 * @param {number} share of the width that it fills, as much as the run has done
 * @returns {[string, number, number]}
 */
function pathOf(text, share) {
  const step = ((WIDTH - 8) * share) / Math.max(text.length - 1, 1);
  let d = "";
  let x = 2;
  let y = 0;
  for (let index = 0; index < text.length; index++) {
    x = 2 + index * step;
    y = 2 + (1 - (HEIGHT_OF.get(text[index]) ?? 0)) * (HEIGHT - 4);
    d += `${index ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
  }
  return [d, x, y];
}

/** Makes an empty sparkline, to be filled by `drawSpark`. */
export function makeSpark() {
  return svg("svg", { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": "true" }, svg("path", {}), svg("path", { class: "end" }));
}

/**
 * @param {SVGElement} place from `makeSpark`
 * @param {string} text
 * @param {boolean} exploded
 * @param {number} share
 */
export function drawSpark(place, text, exploded, share) {
  const [d, x, y] = pathOf(text, share);
  const [line, end] = place.children;
  line.setAttribute("d", d);
  end.setAttribute("d", exploded && text ? `M${x - 3} ${y - 3}l6 6m0-6l-6 6` : "");
  place.classList.toggle("exploded", exploded);
}
