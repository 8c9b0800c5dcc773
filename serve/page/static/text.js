// Texts: how similar each one is to the first, by the cosine of their embeddings.

import { el, button } from "./dom.js";
import { barRow, fromJson, provenance } from "./answer.js";
import { createPanel } from "./panel.js";

const SAMPLE = ["walks slowly with short steps", "shuffling gait", "drags the left leg", "the weather is fine today"];

export const text = createPanel({
  name: "text",
  title: "Text",
  intro: "Compare texts with a first one.",
  build(panel) {
    const first = el("input", { id: "text-first", autocomplete: "off", value: "" });
    const others = el("textarea", { id: "text-others", rows: 4 });
    const model = panel.facts.panels.text.models[0];
    const most = panel.facts.limits.files;
    panel.input.append(el("form", { class: "picker", on: { submit } },
      el("p", { class: "field" }, el("label", { for: "text-first" }, "The first text"), first),
      el("p", { class: "field" }, el("label", { for: "text-others" }, `Texts to compare it with, one a line, up to ${most - 1}`), others),
      el("p", { class: "row" }, el("button", { type: "submit" }, "Compare"), button("Sample: four descriptions", sample, { class: "sample" }))));

    function sample() {
      [first.value] = SAMPLE;
      others.value = SAMPLE.slice(1).join("\n");
      compare();
    }

    function submit(event) {
      event.preventDefault();
      compare();
    }

    function compare() {
      const lines = others.value.split("\n").map((line) => line.trim()).filter(Boolean);
      const texts = [first.value.trim(), ...lines];
      if (!texts[0] || texts.length < 2) {
        panel.stop();
        panel.say(el("p", { class: "warning" }, "Write a first text and at least one to compare it with."));
        return;
      }
      const request = { path: `v1/models/${model}`, files: texts.map((value) => ["text", value]) };
      panel.ask(request, (answer, code) => {
        const { results } = answer.json;
        const failed = results.find(({ error }) => error);
        if (failed) throw new Error(`${failed.status}: ${failed.error}`);
        const [one, ...rest] = results.map(({ result }) => result.embedding);
        const rows = rest.map((embedding, i) => [texts[i + 1], cosine(one, embedding)]).sort(([, a], [, b]) => b - a);
        const words = `Nearest: ${rows[0][0]}`;
        panel.result.replaceChildren(
          el("p", { class: "headline" }, words),
          el("ul", { class: "bars long", "aria-label": "Cosines" }, rows.map(([name, value]) => barRow(name, value, value.toFixed(3)))),
          el("p", { class: "note" }, "Cosines of the embeddings, computed in the browser: compare them with each other."),
          provenance(fromJson(answer)), code);
        return words;
      });
    }
  },
});

/** Return the cosine of two vectors of equal length. */
export function cosine(a, b) {
  const dot = (x, y) => x.reduce((sum, value, i) => sum + value * y[i], 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b) || 1);
}
