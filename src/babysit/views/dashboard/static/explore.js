// @ts-check
// Zooming into a run of any length: plotly.js is loaded on first use, and every zoom fetches the lowest,
// middle and highest values of its range from the server, so that no spike of one step is lost.

import { byId, html, toast } from "./dom.js";

const dialog = /** @type {HTMLDialogElement} */ (byId("explore"));
const chooser = /** @type {HTMLSelectElement} */ (byId("explore-key"));
const log = /** @type {HTMLInputElement} */ (byId("explore-log"));
const plot = byId("explore-plot");

/** @type {any} */
let plotly = null;
let address = "";
/** @type {[number, number] | null} */
let range = null;
let asked = 0;

/**
 * Opens the explorer.
 * @param {string} run the run's address
 * @param {string} ending how the names of the wanted series end; empty for the loss
 */
export async function explore(run, ending) {
  address = run;
  dialog.showModal();
  note("loading");
  try {
    const series = await json(`${address}/series/names`);
    plotly ??= await loadPlotly(series.plotly);
    const mine = series.names.filter((/** @type {string} */ name) => (ending ? name.endsWith(ending) : name === "cost"));
    chooser.replaceChildren(...series.names.map((/** @type {string} */ name) => html("option", { value: name }, name)));
    chooser.value = mine[0] ?? series.names[0];
    range = null;
    log.checked = isWide(chooser.value);
    await draw();
  } catch (error) {
    dialog.close();
    toast(String(error instanceof Error ? error.message : error));
  }
}

/** @param {string} name */
const isWide = (name) => /update_ratio|gradient_norm/.test(name);

/** @param {string} text */
const note = (text) => {
  byId("explore-note").textContent = text;
};

/** @param {string} url */
async function json(url) {
  const reply = await fetch(url, { headers: { accept: "application/json" } });
  const answer = await reply.json();
  if (!reply.ok) throw new Error(answer.problem);
  return answer;
}

/**
 * @param {string} url
 * @returns {Promise<any>}
 */
function loadPlotly(url) {
  if (!url) throw new Error("zooming needs plotly: pip install 'babysit[dashboard]'");
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = url;
    script.addEventListener("load", () => resolve(/** @type {any} */ (window).Plotly));
    script.addEventListener("error", () => reject(new Error("plotly.js could not be loaded")));
    document.head.append(script);
  });
}

async function draw() {
  const mine = ++asked;
  const [from, to] = range ?? [0, 2 ** 31 - 1];
  const pixels = Math.max(100, Math.min(4000, Math.round(plot.clientWidth)));
  const query = new URLSearchParams({ key: chooser.value, from: String(from), to: String(to), px: String(pixels) });
  const found = await json(`${address}/series?${query}`);
  if (mine !== asked) return; // a later zoom has overtaken this one
  const whole = found.first.every((/** @type {number} */ step, /** @type {number} */ i) => step === found.last[i]);
  note(
    whole
      ? `${found.points.toLocaleString()} points, each drawn`
      : `${found.points.toLocaleString()} points: the band holds every one of them`,
  );
  await plotly.react(plot, traces(found, whole), layout(), {
    responsive: true,
    displaylogo: false,
    modeBarButtons: [["zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d", "toImage"]],
  });
  plot.dataset.points = String(found.points);
  listen();
}

/**
 * @param {any} found
 * @param {boolean} whole
 */
function traces(found, whole) {
  const accent = token("--accent");
  const x = found.first.map((/** @type {number} */ step, /** @type {number} */ i) => (step + found.last[i]) / 2);
  const edge = { x, mode: "lines", line: { width: 0.6, color: accent }, hoverinfo: "skip", showlegend: false };
  const band = whole
    ? []
    : [
        { ...edge, name: "lowest", y: found.low },
        { ...edge, name: "highest", y: found.high, fill: "tonexty", fillcolor: `${accent}40` },
      ];
  const line = { x, y: found.middle, name: chooser.value, mode: "lines", line: { width: 1.4, color: accent }, showlegend: false };
  const broken = {
    x: found.broken,
    y: found.broken.map(() => 1),
    yaxis: "y2",
    name: "no finite number",
    mode: "markers",
    marker: { symbol: "line-ns-open", size: 12, color: token("--bad"), line: { width: 2 } },
    showlegend: found.broken.length > 0,
  };
  return [...band, line, broken];
}

function layout() {
  const axis = { gridcolor: token("--grid"), linecolor: token("--line"), zeroline: false, exponentformat: "power" };
  return {
    autosize: true,
    margin: { l: 70, r: 20, t: 10, b: 50 },
    paper_bgcolor: token("--card"),
    plot_bgcolor: token("--card"),
    font: { color: token("--ink"), family: getComputedStyle(document.body).fontFamily, size: 12 },
    xaxis: { ...axis, exponentformat: "none", tickformat: ",d", title: { text: "step" }, ...(range ? { range } : { autorange: true }) },
    yaxis: { ...axis, title: { text: chooser.value }, type: log.checked ? "log" : "linear", autorange: true, fixedrange: true },
    yaxis2: { overlaying: "y", range: [0, 1.02], visible: false, fixedrange: true },
    dragmode: "zoom",
    hovermode: "x",
    legend: { orientation: "h", y: 1.05 },
  };
}

/** @param {string} name */
const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function listen() {
  if (plot.dataset.listens) return;
  plot.dataset.listens = "yes";
  /** @type {any} */ (plot).on("plotly_relayout", (/** @type {any} */ change) => {
    if (change["xaxis.autorange"]) range = null;
    else if ("xaxis.range[0]" in change) {
      const [from, to] = [change["xaxis.range[0]"], change["xaxis.range[1]"]];
      range = [Math.max(0, Math.floor(from)), Math.max(1, Math.ceil(to))];
    } else return;
    void draw();
  });
}

chooser.addEventListener("change", () => {
  log.checked = isWide(chooser.value);
  range = null;
  void draw();
});
log.addEventListener("change", () => void draw());
document.addEventListener("babysit-theme", () => dialog.open && void draw());
