// What all panels share: a section with an input, the state of the request, and its result.

import { el } from "./dom.js";
import { loud, modelLine, named } from "./answer.js";
import { codeBox } from "./code.js";
import { send, ServerError, waitWords } from "./server.js";

/**
 * Create a panel.
 *
 * name: in the address, after #, and in the facts; title, intro: texts.
 * build(panel) fills `panel.input` once, when the server has a model for it. It may set
 * `panel.accept`, which gets a file that was pasted, and `panel.leave`, called when it is hidden.
 */
export function createPanel({ name, title, intro, build }) {
  return (facts) => {
    const input = el("div", { class: "input" });
    const state = el("div", { role: "status", class: "state" });
    const result = el("div", { class: "result" });
    const section = el("section", { id: name, "aria-labelledby": `${name}-title`, hidden: true },
      el("h2", { id: `${name}-title`, tabindex: -1 }, title),
      el("p", { class: "lead" }, intro),
      models(facts, name), input, state, result);
    const panel = { name, title, section, input, result, facts, accept: null, leave: () => {} };
    let controller = null;
    panel.stop = () => controller?.abort();
    panel.signal = () => {
      controller?.abort(); // a new input replaces the one before
      controller = new AbortController();
      return controller.signal;
    };
    panel.say = (...content) => state.replaceChildren(...content);
    panel.ask = (request, show, options) => ask(panel, request, show, options);
    if (facts.panels[name].served) build(panel);
    return panel;
  };
}

function models(facts, name) {
  const panel = facts.panels[name];
  const known = panel.models.map((model) => named({ model, ...facts.models[model] }));
  if (known.length) {
    return el("div", {}, loud(known), el("ul", { class: "models", "aria-label": "Models" }, known.map(modelLine)));
  }
  const needs = panel.needs.join(", ");
  if (panel.served) return el("p", { class: "note" }, `Without ${needs}, which is not served here.`);
  return el("p", { class: "refused" }, `No model of this task is served here. It needs: ${needs}.`);
}

/**
 * Send a request; show the answer, the wait, or the error as the server said it.
 *
 * show(answer, code) fills `panel.result` and returns the answer in words, for screen readers.
 */
async function ask(panel, request, show, { output = null } = {}) {
  const signal = panel.signal();
  panel.section.setAttribute("aria-busy", "true");
  panel.say(el("p", { class: "note" }, "Waiting for the server…"));
  try {
    checkSize(request, panel.facts.limits);
    const onWait = (wait) => panel.say(el("p", { class: "warning" }, waitWords(wait)));
    const answer = await send(request, { signal, onWait });
    const words = await show(answer, codeBox(request, output));
    if (!signal.aborted) panel.say(el("p", { class: "sr" }, `Answer: ${words}`));
  } catch (error) {
    if (signal.aborted) return;
    panel.result.replaceChildren(codeBox(request, output));
    panel.say(problem(error));
    if (error.status === 401) panel.askForKey?.(() => ask(panel, request, show, { output }));
  } finally {
    if (!signal.aborted) panel.section.removeAttribute("aria-busy");
  }
}

/** Return an error in a box. */
export function problem(error) {
  const text = error instanceof ServerError ? `${error.status}: ${error.message}`
    : error instanceof TypeError ? `The server cannot be reached: ${error.message}`
    : error.message;
  return el("p", { class: "refused" }, text);
}

// a server that refuses a large body may close the connection before its answer is read
function checkSize({ files }, { upload_bytes: most }) {
  const bytes = files.reduce((sum, [, value]) => sum + (value.size ?? 0), 0);
  if (bytes > most) {
    throw new Error(`${bytes} bytes are too many; this server takes ${most} (MAX_UPLOAD_SIZE).`);
  }
}
