// Faces and their emotions: boxes on the picture, bars per face and per voting model.

import { el, addresses, percent, place, plural } from "./dom.js";
import { bars, fromJson, provenance, timing } from "./answer.js";
import { cameraBox } from "./camera.js";
import { createPanel } from "./panel.js";
import { picker } from "./picker.js";
import { send } from "./server.js";

const OPEN_FACES = 3; // whose bars are shown without a click

export const faces = createPanel({
  name: "faces",
  title: "Faces",
  intro: "Find the faces of a picture and classify their emotions.",
  build(panel) {
    const urlOf = addresses();
    const request = (file) => ({
      path: "v1/face-emotion", files: [["image", file]], query: [["faces", "all"]],
    });
    const take = (file) => panel.ask(request(file), (answer, code) => {
      panel.result.replaceChildren(
        picture(urlOf("picture", file), answer.json.result),
        list(answer.json.result), provenance(fromJson(answer)), code);
      return wordsOf(answer.json.result);
    });
    const camera = cameraBox({
      onPicture: take,
      async onFrame(file, onWait) {
        const signal = panel.signal(); // so that a stop from here on sends nothing
        const { width, height } = await createImageBitmap(file);
        const answer = await send(request(file), { signal, onWait, isStored: false });
        return (over) => {
          over.replaceChildren(...boxes(answer.json.result, width, height));
          panel.result.replaceChildren(provenance(fromJson(answer)));
          return timing(answer);
        };
      },
      onStop: panel.stop,
    });
    const input = picker({
      noun: "picture", title: "Picture", accept: "image/*", camera, onFile: take,
      samples: [["people.jpg", "Sample: two people, drawn"]],
    });
    panel.input.append(input.node);
    panel.accept = input.take;
    panel.leave = camera.close;
  },
});

function wordsOf({ face_found: isFound, faces_found: count, faces: all }) {
  const labels = all.map(({ label }) => label ?? "no emotion").join(", ");
  return isFound ? `${plural(count, "face")}: ${labels}` : `no face; the whole picture: ${labels}`;
}

function picture(url, result) {
  const over = el("div", { class: "over" });
  const image = el("img", { src: url, alt: `The picture: ${wordsOf(result)}` });
  image.addEventListener("load", () => {
    over.replaceChildren(...boxes(result, image.naturalWidth, image.naturalHeight));
  });
  image.addEventListener("error", () => {
    over.parentNode.replaceChildren(el("p", { class: "note" }, "The browser cannot show this file."));
  });
  return el("div", { class: "stage" }, image, over);
}

/** Return a box with its label for each face; the list below says the same in words. */
function boxes({ faces: all }, width, height) {
  return all.filter(({ box }) => box).map(({ box, label, confidence }, index) => {
    const words = label === null ? "" : ` ${label} ${Math.round(100 * confidence)} %`;
    const node = el("div", { class: "box", "aria-hidden": "true" }, el("span", {}, `${index + 1}${words}`));
    if (box.y1 < 0.1 * height) node.classList.add("at-top");
    return place(node, {
      left: box.x1 / width, top: box.y1 / height,
      width: (box.x2 - box.x1) / width, height: (box.y2 - box.y1) / height,
    });
  });
}

function list(result) {
  if (!result.face_found) {
    return el("div", { class: "faces" },
      el("p", { class: "note" }, "No face was found: the whole picture was classified."),
      face(result.faces[0], "The picture", true));
  }
  return el("div", { class: "faces" }, result.faces.map((entry, index) =>
    face(entry, `Face ${index + 1}`, index < OPEN_FACES)));
}

function face({ label, confidence, probabilities, members, score }, name, isOpen) {
  const words = label === null ? "no emotion" : `${label}, ${percent(confidence)}`;
  return el("details", { class: "card", open: isOpen },
    el("summary", {}, el("strong", {}, `${name}: ${words}`),
      score != null && el("span", { class: "note" }, ` found with ${percent(score)}`)),
    bars(probabilities, `Emotions of ${name}`),
    members.length > 1 && members.map(member));
}

function member({ model, status, share, label, confidence, probabilities }) {
  const vote = status === "voted" ? `voted ${label}, ${percent(confidence)}; share ${percent(share)}` : status;
  return el("div", { class: "member" },
    el("p", {}, el("span", { class: "id" }, model), el("span", { class: "note" }, ` ${vote}`)),
    status === "voted" && bars(probabilities, `Votes of ${model}`));
}
