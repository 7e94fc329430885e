// @ts-check
// The page of all studies, kept up to date.

import { byId } from "./dom.js";
import { poll } from "./polling.js";

const place = byId("studies");

poll((cursor) => `/studies?since=${cursor}`, Number(place.dataset.cursor), (news) => {
  if (news.html !== undefined && !place.contains(document.activeElement)) place.innerHTML = news.html; // names are escaped
});
