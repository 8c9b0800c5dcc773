// What every answer shows: bars, the models behind it, warnings, milliseconds.

import { el, svg, percent, milliseconds } from "./dom.js";

const SEEDED = "Seeded weights: untrained, the results mean nothing.";

/** Return a list of bars; `shares` is { name: 0 to 1 }, shown in the order of their size. */
export function bars(shares, label) {
  const entries = Object.entries(shares).sort(([, a], [, b]) => b - a);
  return el("ul", { class: "bars", "aria-label": label },
    entries.map(([name, share]) => barRow(name, share, percent(share))));
}

/** Return one bar: a name, a share from 0 to 1, and the value in words. */
export function barRow(name, share, value) {
  const width = `${100 * Math.min(1, Math.max(0, share))}%`;
  return el("li", {},
    el("span", { class: "name" }, el("bdi", {}, name)),
    svg("svg", { class: "bar", "aria-hidden": "true" },
      svg("rect", { class: "track", width: "100%", height: "100%", rx: 2 }),
      svg("rect", { class: "level", width, height: "100%", rx: 2 })),
    el("span", { class: "value" }, value));
}

/** Return the badge of an origin of weights: pretrained, seeded or synthetic. */
export function badge(weights) {
  return el("span", { class: `badge ${weights}` }, weights);
}

/** Return a line about one model: id, version, variant, weights. */
export function modelLine({ model, version, variant, weights, state, reason }) {
  const facts = [version != null && `version ${version}`, variant, state !== "ready" && state, reason];
  return el("li", {}, el("span", { class: "id" }, model), " ",
    el("span", { class: "note" }, facts.filter(Boolean).join(", ")), " ",
    weights && badge(weights));
}

/** Return a model with its origin of weights under one name; earlier answers call it `weights`. */
export function named({ weights_origin: origin, ...model }) {
  return { ...model, weights: origin ?? model.weights };
}

/** Return a loud line if one of the models is untrained. */
export function loud(models) {
  const untrained = models.some(({ weights }) => weights === "seeded");
  return untrained && el("p", { class: "refused loud" }, SEEDED);
}

/** Return the models that answered, what they warn of, and the milliseconds by stage. */
export function provenance({ models, warnings, answer }) {
  return el("div", { class: "provenance" },
    warnings.length > 0 && el("ul", { class: "warnings" },
      warnings.map((text) => el("li", { class: "warning" }, text))),
    el("ul", { class: "models" }, models.map(modelLine)),
    el("p", { class: "note timing" }, timing(answer)));
}

/** Return the milliseconds of an answer in words. */
export function timing({ stages, totalMs, headers }) {
  const isStored = headers.get("x-cache") === "hit";
  const parts = Object.entries(stages).map(([name, value]) => `${name} ${milliseconds(value)}`);
  const source = isStored ? [`from the cache of the server, ${headers.get("age") ?? 0} s old`] : [];
  return [`${milliseconds(totalMs)} in all`, ...source, ...parts].join(" · ");
}

/** Return models and warnings of a JSON answer. */
export function fromJson(answer) {
  const first = answer.json.results?.[0] ?? answer.json;
  const models = first.result?.models ?? [first];
  return { models: models.map(named), warnings: first.warnings ?? [], answer };
}

/** Return the same of an image answer, whose facts are in its headers. */
export function fromHeaders(answer, facts) {
  const model = answer.headers.get("x-model");
  const warnings = answer.headers.get("x-warnings");
  const weights = answer.headers.get("x-model-weights");
  const { variant } = facts.models[model] ?? {};
  const version = answer.headers.get("x-model-version");
  return { models: [{ model, version, variant, weights }], warnings: warnings ? [warnings] : [], answer };
}
