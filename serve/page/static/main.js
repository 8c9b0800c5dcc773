// The page: asks the server what it has, builds the panels, shows the one that the address names.

import { el } from "./dom.js";
import { modelLine, named } from "./answer.js";
import { problem } from "./panel.js";
import { get, setKey } from "./server.js";
import { faces } from "./faces.js";
import { voice } from "./voice.js";
import { gait } from "./gait.js";
import { similarity } from "./similarity.js";
import { cutout } from "./cutout.js";
import { text } from "./text.js";

const PANELS = [faces, voice, gait, similarity, cutout, text];
const main = document.getElementById("panel");
const tabs = document.getElementById("tabs");

async function start() {
  let facts;
  try {
    facts = await get("page/facts");
  } catch (error) {
    if (error.status === 401) askForKey(start);
    else main.append(el("div", { role: "alert" }, problem(error)));
    return;
  }
  const panels = PANELS.map((create) => create(facts));
  for (const panel of panels) {
    panel.askForKey = askForKey;
    main.append(panel.section);
    tabs.append(el("li", {}, el("a", { href: `#${panel.name}` }, panel.title)));
  }
  main.append(all(facts));
  document.getElementById("server").textContent = `Slipway ${facts.version}`;
  window.addEventListener("hashchange", () => show(panels, true));
  document.addEventListener("paste", (event) => paste(event, panels));
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) panels.forEach((panel) => panel.leave()); // no camera in the background
  });
  for (const event of ["dragover", "drop"]) { // a file beside the box must not replace the page
    window.addEventListener(event, (dropped) => dropped.preventDefault());
  }
  show(panels, false);
}

const addressed = (panels) => panels.find(({ name }) => `#${name}` === location.hash);

function show(panels, focus) {
  if (location.hash === "#panel") return; // the link that skips the tabs
  const current = addressed(panels) ?? panels[0];
  for (const panel of panels) {
    if (panel !== current && !panel.section.hidden) panel.leave();
    panel.section.hidden = panel !== current;
  }
  for (const link of tabs.querySelectorAll("a")) {
    if (link.hash === `#${current.name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${current.title} · Slipway`;
  if (focus) current.section.querySelector("h2").focus();
}

function paste(event, panels) {
  const current = panels.find(({ section }) => !section.hidden);
  const [file] = event.clipboardData?.files ?? [];
  if (file && current?.accept) {
    event.preventDefault();
    current.accept(file);
  }
}

function askForKey(again) {
  const form = document.getElementById("key");
  form.hidden = false;
  form.onsubmit = (event) => {
    event.preventDefault();
    setKey(document.getElementById("key-value").value);
    form.hidden = true;
    again();
  };
  document.getElementById("key-value").focus();
}

function all({ models }) {
  const rows = Object.entries(models).map(([model, facts]) => modelLine(named({ model, ...facts })));
  return el("details", { class: "all" }, el("summary", {}, `All models of this server: ${rows.length}`),
    el("ul", { class: "models" }, rows));
}

start();
