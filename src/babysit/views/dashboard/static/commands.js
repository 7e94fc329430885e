// @ts-check
// Sends requests to a live run; each is answered later.

import { html, toast } from "./dom.js";

/**
 * @typedef {{id: number, trial: [number, number] | null, kind: string, what: string, state: string, step: number | null,
 *   detail: string, by: string, asked: number}} Command
 */

/**
 * Sends a request.
 * @param {string} address of the study's or the trial's commands
 * @param {string} kind
 * @param {number | null} [argument]
 * @returns {Promise<Command | null>} null where it was refused; the reason has been shown
 */
export async function ask(address, kind, argument = null) {
  const token = /** @type {HTMLMetaElement} */ (document.querySelector("meta[name=babysit-token]")).content;
  try {
    const reply = await fetch(address, {
      method: "POST",
      headers: { "content-type": "application/json", accept: "application/json", "x-babysit-token": token },
      body: JSON.stringify({ kind, argument }),
    });
    if (reply.ok) return (await reply.json()).command;
    toast(await problemOf(reply));
  } catch {
    toast("the server does not answer");
  }
  return null;
}

/** @param {Response} reply */
async function problemOf(reply) {
  const text = await reply.text();
  try {
    const { problem, fix } = JSON.parse(text);
    return fix ? `${problem}: ${fix}` : problem;
  } catch {
    return text;
  }
}

const STEPS = ["asked", "seen", "applied"];

/**
 * Makes the entry of a request in the log: the request, its state, the answer.
 * @param {Command} command
 * @param {string} of the name of the run; empty on the page of one run
 */
export function commandItem(command, of) {
  const ended = ["refused", "expired"].includes(command.state);
  const way = ended ? ["asked", command.state] : STEPS;
  const at = way.indexOf(command.state);
  return html(
    "li",
    { class: `request ${command.state}`, "data-id": command.id },
    html("span", { class: "what" }, command.what, of ? html("span", { class: "sub" }, ` ${of}`) : ""),
    html(
      "span",
      { class: "way" },
      ...way.map((step, index) =>
        html("span", { class: index < at ? "passed" : index === at ? "now" : "to-come", "aria-current": index === at ? "step" : undefined }, step === "applied" && command.step !== null ? `applied at step ${command.step}` : step),
      ),
    ),
    html("span", { class: "sub" }, ended || command.detail !== `applied at step ${command.step}` ? command.detail : ""),
  );
}
