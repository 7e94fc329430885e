// @ts-check
// The page of one run: it patches the parts that changed, turns the slider of the weights, and loads the explorer.

import { ask } from "./commands.js";
import { byId, pageData, toast } from "./dom.js";
import { poll } from "./polling.js";

/** @type {{ address: string, cursor: number, live: boolean, weights: number[] }} */
const run = pageData("run-data");

/** @returns {HTMLElement[]} */
const parts = () => [...document.querySelectorAll("[data-part]")].map((one) => /** @type {HTMLElement} */ (one));

/** @param {number} cursor */
function address(cursor) {
  const have = parts().map((one) => `${one.dataset.part}:${one.dataset.digest}`);
  return `${run.address}/changes?since=${cursor}&have=${have.join(",")}`;
}

/**
 * Replaces the fragments that the server rendered anew; the rest of the page stays.
 * @param {{ parts: Record<string, string>, digests: Record<string, string>, weights: number[], state: string, live: boolean }} changes
 */
function apply(changes) {
  for (const part of parts()) {
    const key = part.dataset.part ?? "";
    if (!(key in changes.parts)) continue;
    part.innerHTML = changes.parts[key];
    part.dataset.digest = changes.digests[key];
    if (part.matches("figure")) part.hidden = !changes.parts[key];
  }
  const state = byId("state");
  if (state.textContent !== changes.state) {
    state.className = `state ${changes.state}`;
    state.textContent = changes.state;
  }
  byId("touches").hidden = !changes.live;
  showSteps(changes.weights);
}

const slider = /** @type {HTMLInputElement} */ (byId("weight-step"));
/** @type {Map<number, HTMLImageElement>} */
const loaded = new Map();

/** @param {number[]} steps */
function showSteps(steps) {
  const newest = slider.value === slider.max;
  run.weights = steps;
  byId("weights").hidden = !steps.length;
  slider.max = String(Math.max(0, steps.length - 1));
  // A slider at an earlier step stays there; one at the newest step follows.
  if (newest) slider.value = slider.max;
  showWeights();
}

function showWeights() {
  const step = run.weights[Number(slider.value)];
  if (step === undefined) return;
  byId("weight-label").textContent = `step ${step.toLocaleString()}`;
  slider.setAttribute("aria-valuetext", `step ${step}`);
  const image = loaded.get(step) ?? picture(step);
  const shown = byId("weight-image");
  if (image === shown) return;
  const put = () => {
    const place = document.getElementById("weight-image");
    if (place === null || place === image || run.weights[Number(slider.value)] !== step) return;
    place.removeAttribute("id");
    image.id = "weight-image";
    place.replaceWith(image);
  };
  // The old picture stays until the new one is loaded, so that nothing flickers.
  if (image.complete) put();
  else image.addEventListener("load", put, { once: true });
}

/** @param {number} step */
function picture(step) {
  const image = new Image();
  image.alt = "the first layer's weights, one small image a unit";
  image.src = `${run.address}/weights/${step}`;
  loaded.set(step, image);
  return image;
}

slider.addEventListener("input", showWeights);
showSteps(run.weights);

byId("touches").addEventListener("click", async (event) => {
  const button = event.target instanceof Element ? event.target.closest("[data-kind]") : null;
  if (!(button instanceof HTMLElement)) return;
  const { kind, argument } = button.dataset;
  const asked = await ask(`${run.address}/commands`, kind ?? "", argument ? Number(argument) : null);
  if (asked) toast(`asked: ${button.textContent}`);
});

document.addEventListener("click", async (event) => {
  const button = event.target instanceof Element ? event.target.closest("[data-explore]") : null;
  if (!(button instanceof HTMLElement)) return;
  const { explore } = await import("./explore.js");
  await explore(run.address, button.dataset.explore ?? "");
});

if (run.live) poll(address, run.cursor, apply);
