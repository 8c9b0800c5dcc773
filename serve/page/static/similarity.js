// Two images side by side, and how similar they are.

import { el, addresses } from "./dom.js";
import { barRow, fromJson, provenance } from "./answer.js";
import { cameraBox } from "./camera.js";
import { createPanel } from "./panel.js";
import { picker } from "./picker.js";

export const similarity = createPanel({
  name: "similarity",
  title: "Similarity",
  intro: "Compare two images.",
  build(panel) {
    const urlOf = addresses();
    const files = { a: null, b: null };
    const cameras = [];
    const sides = { a: side("a", "First image", "scene-a.jpg"), b: side("b", "Second image", "scene-b.jpg") };
    panel.input.append(el("div", { class: "pair stacked" }, sides.a.node, sides.b.node),
      el("div", { class: "pair" }, sides.a.shown, sides.b.shown));
    panel.accept = (file) => (files.a && !files.b ? sides.b : sides.a).input.take(file);
    panel.leave = () => cameras.forEach((camera) => camera.close());

    function side(name, title, sample) {
      const shown = el("div", { class: "stage" });
      const take = (file) => {
        files[name] = file;
        shown.replaceChildren(el("img", { src: urlOf(name, file), alt: `${title}: ${file.name}` }));
        if (files.a && files.b) compare();
        else panel.say(el("p", { class: "note" }, "Choose the other image too."));
      };
      const camera = cameraBox({ onPicture: take });
      cameras.push(camera);
      const input = picker({
        noun: "picture", title, accept: "image/*", samples: [[sample, "Sample"]], camera, onFile: take,
      });
      return { input, shown, node: el("div", {}, el("h3", {}, title), input.node) };
    }

    function compare() {
      const request = { path: "v1/similarity", files: [["image_a", files.a], ["image_b", files.b]] };
      panel.ask(request, (answer, code) => {
        const { cosine, score, note } = answer.json.result;
        const words = score === null ? `cosine ${cosine.toFixed(3)}` : `score ${score.toFixed(3)}`;
        panel.result.replaceChildren(
          el("p", { class: "headline" }, words),
          el("ul", { class: "bars", "aria-label": "Similarity" },
            score !== null && barRow("score", score, score.toFixed(3)),
            barRow("cosine", cosine, cosine.toFixed(3))),
          note ? el("p", { class: "note" }, note) : "",
          provenance(fromJson(answer)), code);
        return words;
      });
    }
  },
});
