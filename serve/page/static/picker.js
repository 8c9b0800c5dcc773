// Where a file comes from: chosen, dropped, pasted, a sample of ours, the camera or the microphone.

import { el, button } from "./dom.js";
import { address } from "./server.js";
import { deviceProblem, hasDevices, NO_DEVICES } from "./camera.js";
import { record } from "./sound.js";

let count = 0;

/**
 * Return a box that gives a file to `onFile`.
 *
 * noun: what a file is called; accept: as of an input; samples: [[path, name of the button]];
 * camera: of camera.js, or null; longestS: of a recording, or 0 without a microphone.
 */
export function picker({ noun, title, accept, samples, camera = null, longestS = 0, onFile }) {
  const name = `picker-${count += 1}`;
  const said = el("span", { class: "note", role: "status" });
  const input = el("input", { type: "file", accept, id: name, class: "sr", on: { change: chosen } });
  const node = el("div", {
    class: "picker", role: "group", "aria-label": title,
    on: { dragover: drag, dragleave: leave, drop },
  },
    el("p", { class: "row" },
      el("span", { class: "file" }, input, el("label", { for: name, class: "button" }, `Choose a ${noun}`)),
      samples.map(([path, text]) => button(text, () => sample(path), { class: "sample" })),
      longestS > 0 && recordButton(), camera?.open),
    el("p", { class: "note" }, `Or drop a ${noun} here, or paste one. `, said),
    (camera || longestS > 0) && !hasDevices() && el("p", { class: "note" }, NO_DEVICES),
    camera?.node);

  function take(file) {
    said.textContent = file.name;
    onFile(file);
  }

  function chosen() {
    if (input.files.length) take(input.files[0]);
    input.value = ""; // so that the same file may be chosen again
  }

  function drag(event) {
    event.preventDefault();
    node.classList.add("over-drop");
  }

  function leave() {
    node.classList.remove("over-drop");
  }

  function drop(event) {
    event.preventDefault();
    leave();
    if (event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
  }

  async function sample(path) {
    try {
      take(await sampleFile(path));
    } catch (error) {
      said.textContent = `The sample did not arrive: ${error.message}`;
    }
  }

  function recordButton() {
    let recording = null;
    const start = button("Record", async () => {
      if (recording) {
        recording.stop();
        return;
      }
      try {
        recording = await record(longestS);
      } catch (error) {
        said.textContent = deviceProblem(error);
        return;
      }
      start.textContent = "Stop recording";
      said.textContent = "Recording.";
      const file = await recording.ended;
      recording = null;
      start.textContent = "Record";
      take(file);
    });
    return start;
  }

  return { node, take };
}

/** Return a sample of the page as a File. */
export async function sampleFile(path) {
  const response = await fetch(address(`page/${path}`));
  if (!response.ok) throw new Error(`status ${response.status}`);
  const blob = await response.blob();
  return new File([blob], path, { type: blob.type });
}
