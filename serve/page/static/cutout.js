// The foreground of a picture, on a chequerboard, a colour or another picture.

import { el, addresses } from "./dom.js";
import { fromHeaders, provenance, timing } from "./answer.js";
import { cameraBox } from "./camera.js";
import { createPanel } from "./panel.js";
import { picker } from "./picker.js";
import { send } from "./server.js";

const LIVE_SIDE = "384"; // px, in which the edges of a live frame are fitted

export const cutout = createPanel({
  name: "cutout",
  title: "Cut-out",
  intro: "Cut out the foreground of a picture.",
  build(panel) {
    const urlOf = addresses();
    const chosen = { file: null, picture: null, behind: "nothing" };
    const colour = el("input", { type: "color", id: "colour", value: "#3366ff", on: { change: again } });
    const colourField = el("p", { class: "field", hidden: true }, el("label", { for: "colour" }, "Colour behind"), colour);
    const other = picker({
      noun: "picture", title: "Picture behind", accept: "image/*",
      samples: [["backdrop.jpg", "Sample: a sky"]],
      onFile: (file) => { chosen.picture = file; again(); },
    });
    other.node.hidden = true;
    const camera = cameraBox({ onPicture: take, onFrame, onStop: panel.stop });
    const input = picker({
      noun: "picture", title: "Picture", accept: "image/*", camera, onFile: take,
      samples: [["people.jpg", "Sample: two people, drawn"]],
    });
    panel.input.append(input.node, behind(), colourField, other.node);
    panel.accept = (file) => (chosen.behind === "picture" && chosen.file ? other : input).take(file);
    panel.leave = camera.close;

    function behind() {
      const choices = [["nothing", "A chequerboard"], ["colour", "A colour"], ["picture", "Another picture"]];
      return el("fieldset", {}, el("legend", {}, "Behind it"), choices.map(([value, text]) =>
        el("label", { class: "choice" },
          el("input", { type: "radio", name: "behind", value, checked: value === chosen.behind, on: { change: () => choose(value) } }),
          text)));
    }

    function choose(value) {
      chosen.behind = value;
      colourField.hidden = value !== "colour";
      other.node.hidden = value !== "picture";
      again();
    }

    function again() {
      if (chosen.behind === "picture" && !chosen.picture) return;
      if (chosen.file) take(chosen.file);
    }

    function request(file) {
      const withPicture = chosen.behind === "picture" && chosen.picture;
      return {
        path: "v1/background",
        files: [["image", file], ...(withPicture ? [["background", chosen.picture]] : [])],
        query: chosen.behind === "colour" ? [["color", colour.value]] : [],
      };
    }

    function take(file) {
      chosen.file = file;
      panel.ask(request(file), (answer, code) => {
        const url = urlOf("answer", answer.blob);
        panel.result.replaceChildren(
          el("div", { class: "pair" },
            el("figure", {}, el("img", { src: urlOf("picture", file), alt: "The picture" }),
              el("figcaption", { class: "note" }, "The picture")),
            el("figure", {}, el("img", { src: url, class: "chequered", alt: "The cut-out" }),
              el("figcaption", { class: "note" }, "The cut-out"))),
          el("p", {}, el("a", { href: url, download: "cut-out.png", class: "button" }, "Download the cut-out")),
          provenance(fromHeaders(answer, panel.facts)), code);
        return "the cut-out is shown";
      }, { output: "cut-out.png" });
    }

    async function onFrame(file, onWait) {
      const frame = request(file);
      frame.query.push(["format", "webp"], ["max_side", LIVE_SIDE]);
      const answer = await send(frame, { signal: panel.signal(), onWait, isStored: false });
      const src = urlOf("live", answer.blob);
      const image = el("img", { src, class: "chequered", alt: "The cut-out of the camera" });
      await image.decode();
      return (over) => {
        over.replaceChildren(image);
        panel.result.replaceChildren(provenance(fromHeaders(answer, panel.facts)));
        return timing(answer);
      };
    }
  },
});
