// @ts-check
// Actions on ticked trials, stopping and extending the study, and the log of requests.

import { copy } from "./base.js";
import { ask, commandItem } from "./commands.js";
import { byId, html, toast } from "./dom.js";
import { quoted } from "./ranges.js";

/**
 * @typedef {import("./model.js").Model} Model
 * @typedef {import("./model.js").Row} Row
 */

export class Touch {
  /** @param {Model} model @param {any} commands as the page was opened with */
  constructor(model, commands) {
    this.model = model;
    model.on("ticked", () => this.draw());
    model.on("rows", () => this.draw());
    byId("untick").addEventListener("click", () => {
      model.ticked.clear();
      model.tell("ticked");
    });
    byId("compare").addEventListener("click", () => this.compare());
    byId("touches").addEventListener("click", (event) => {
      if (event.target instanceof HTMLElement && event.target.dataset.kind) this.touch(event.target.dataset);
    });
    byId("clone").addEventListener("click", () => this.clone());
    this.dialog("stop", (value) => value === "stop" && this.ask(`/s/${model.board.study}/commands`, "stop_study", null));
    this.dialog("extend", (value) => {
      const trials = Number(/** @type {HTMLInputElement} */ (byId("extend-trials")).value);
      if (value === "extend") this.ask(`/s/${model.board.study}/commands`, "extend_study", trials);
    });
    byId("clone-fields").addEventListener("input", () => this.cloned());
    byId("clone-dialog").addEventListener("close", () => {
      if (/** @type {HTMLDialogElement} */ (byId("clone-dialog")).returnValue === "copy") copy(byId("clone-command").textContent ?? "");
    });
    this.setCommands(commands);
    this.draw();
  }

  /** @param {"stop" | "extend"} name @param {(value: string) => void} answered */
  dialog(name, answered) {
    const dialog = /** @type {HTMLDialogElement} */ (byId(`${name}-dialog`));
    byId(`${name}-open`).addEventListener("click", () => {
      dialog.returnValue = "";
      const last = this.model.board.stages.length - 1;
      const trials = [...this.model.rows.values()].filter((row) => row.stage === last).length;
      if (name === "extend") /** @type {HTMLInputElement} */ (byId("extend-trials")).value = String(2 * Math.max(trials, 1));
      dialog.showModal();
    });
    dialog.addEventListener("close", () => answered(dialog.returnValue));
  }

  rows() {
    return [...this.model.ticked].map((key) => this.model.rows.get(key)).filter((row) => row !== undefined);
  }

  draw() {
    const rows = this.rows();
    const alive = rows.filter(isAlive).length;
    byId("ticked").hidden = !rows.length;
    byId("ticked-count").textContent = `${rows.length} ticked`;
    byId("touches").hidden = !alive;
    byId("clone").hidden = rows.length !== 1;
    /** @type {HTMLButtonElement} */ (byId("compare")).disabled = rows.length < 2;
    byId("compare").title = rows.length < 2 ? "tick two or more to compare them" : "";
  }

  /** @param {string} state of the study */
  setState(state) {
    byId("stop-open").hidden = state !== "running";
    byId("extend-open").hidden = state !== "running" || this.model.board.command[1] !== "search";
  }

  compare() {
    const rows = this.rows();
    if (rows.length < 2) return toast("tick two or more trials to compare them");
    location.assign(`/compare?${rows.map((row) => `r=${this.model.board.study}-${row.key}`).join("&")}`);
  }

  /** @param {DOMStringMap} button */
  async touch(button) {
    const argument = button.argument === undefined ? null : Number(button.argument);
    for (const row of this.rows().filter(isAlive)) await this.ask(`${this.model.address(row)}/commands`, button.kind ?? "", argument);
  }

  /** @param {string} address @param {string} kind @param {number | null} argument */
  async ask(address, kind, argument) {
    const command = await ask(address, kind, argument);
    if (!command) return;
    toast(`asked: ${command.what}`);
    this.setCommands({ list: [command, ...this.list.filter((/** @type {any} */ one) => one.id !== command.id)], silence: this.silence });
  }

  /** @param {any} commands */
  setCommands(commands) {
    this.list = commands.list;
    this.silence = commands.silence;
    byId("requests").hidden = !this.list.length;
    byId("silence").textContent = this.silence;
    byId("request-list").replaceChildren(...this.list.map((/** @type {any} */ one) => commandItem(one, this.nameOf(one.trial))));
  }

  /** @param {[number, number] | null} trial */
  nameOf(trial) {
    return trial ? this.model.nameOf(...trial) : "";
  }

  clone() {
    const [row] = this.rows();
    if (!row) return;
    byId("clone-of").textContent = `${row.name}: change what you like, then train it alone.`;
    const fields = [...this.model.board.knobs.map((knob, index) => [knob.name, row.values[index]]), ["epochs", String(this.model.board.stages[row.stage]?.epochs ?? row.epochs)]];
    byId("clone-fields").replaceChildren(...fields.map(([name, value]) => html("label", {}, html("span", {}, name), html("input", { type: "text", name, value, size: 10 }))));
    this.cloned();
    /** @type {HTMLDialogElement} */ (byId("clone-dialog")).showModal();
  }

  cloned() {
    const { command } = this.model.board;
    const set = [...byId("clone-fields").querySelectorAll("input")];
    const names = set.map((box) => box.name);
    const seed = command.indexOf("--seed");
    const kept = command.flatMap((word, index) => (command[index - 1] === "-s" && !names.includes(word.split("=")[0]) ? ["-s", word] : []));
    const settings = set.filter((box) => box.value !== "–").flatMap((box) => ["-s", `${box.name}=${box.value}`]);
    const words = ["babysit", "train", command[2], ...(seed > 0 ? ["--seed", command[seed + 1]] : []), ...kept, ...settings];
    byId("clone-command").textContent = words.map(quoted).join(" ");
  }
}

/** @param {Row} row */
const isAlive = (row) => row.state === "running" || row.state === "waiting";
