// @ts-check
// Starts an experiment, and reloads its page once it is done.

import { pageData, toast } from "./dom.js";

/** @type {{ address: string, busy: boolean }} */
const lab = pageData("lab-data");
const token = document.querySelector('meta[name="babysit-token"]')?.getAttribute("content") ?? "";

document.getElementById("measure")?.addEventListener("click", async () => {
  const reply = await fetch(lab.address, {
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/json", "x-babysit-token": token },
    body: "{}",
  });
  if (reply.ok) location.reload();
  else toast((await reply.text()) || "the server refused the request");
});

async function look() {
  try {
    const reply = await fetch(`${lab.address}/state`, { headers: { accept: "application/json" } });
    const { state } = await reply.json();
    if (state !== "running" && state !== "waiting") return location.reload();
  } catch {
    // The server may be unreachable for a moment: try again.
  }
  setTimeout(look, 1000);
  return undefined;
}

if (lab.busy) setTimeout(look, 1000);
