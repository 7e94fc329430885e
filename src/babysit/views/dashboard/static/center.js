// @ts-check
// The command center: brings its parts together and keeps them up to date.

import { Curves } from "./curves.js";
import { byId, pageData } from "./dom.js";
import { bind } from "./keyboard.js";
import { Model } from "./model.js";
import { Parallel } from "./parallel.js";
import { poll } from "./polling.js";
import { Scatter } from "./scatter.js";
import { Table } from "./table.js";
import { Touch } from "./touch.js";

const data = pageData("data");
const model = new Model(data);
const table = new Table(model);
const scatter = new Scatter(model);
new Parallel(model);
new Curves(model);
const touch = new Touch(model, data.commands);
touch.setState(data.state);

bind("j", () => table.move(1));
bind("k", () => table.move(-1));
bind("Enter", () => table.open());
bind("x", () => table.current && model.tick(table.current));
bind("c", () => touch.compare());
bind("r", () => table.resort());
bind("/", () => byId("filter").focus());
bind("Escape", () => scatter.setBox(null));

poll((cursor) => `/changes?study=${data.board.study}&since=${cursor}&edition=${model.edition}`, data.cursor, (news) => {
  model.apply(news);
  touch.setCommands(news.commands);
  touch.setState(news.state);
  byId("elapsed").textContent = news.times.elapsed;
  byId("left").textContent = news.times.left;
  byId("left-part").hidden = news.times.left === "–";
  setHead(news.head);
});

let head = "";

/**
 * The head as the server draws it; unchanged while the reader uses a button in it.
 * @param {string} html
 */
function setHead(html) {
  const place = byId("status");
  if (head === html || place.contains(document.activeElement)) return;
  const open = place.querySelector("details")?.open ?? false;
  place.innerHTML = html; // drawn by our own server, which escapes every name
  head = html;
  const details = place.querySelector("details");
  if (details) details.open = open;
}
