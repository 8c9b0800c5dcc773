// A clip of a walk: the class, and the frames that the model looked at.

import { el, addresses, percent } from "./dom.js";
import { bars, fromJson, provenance } from "./answer.js";
import { createPanel } from "./panel.js";
import { picker } from "./picker.js";
import { get } from "./server.js";

const FRAME_WIDTH = 160; // px
const SEEK_S = 5; // for the browser to show a frame

export const gait = createPanel({
  name: "gait",
  title: "Gait",
  intro: "Classify how a person walks in a clip. This is no medical device.",
  build(panel) {
    const urlOf = addresses();
    const names = el("datalist", { id: "conditions" });
    const condition = el("input", {
      id: "condition", list: "conditions", maxlength: 2000, autocomplete: "off",
      on: { change: () => clip && take(clip) },
    });
    let clip = null;
    const take = (file) => {
      clip = file;
      const text = condition.value.trim();
      const request = { path: "v1/gait", files: [["video", file]], query: text ? [["condition", text]] : [] };
      return panel.ask(request, async (answer, code) => {
        const { result } = answer.json;
        const strip = el("ol", { class: "strip", "aria-label": "The frames that were looked at" });
        panel.result.replaceChildren(
          el("p", { class: "headline" }, `${result.label}, ${percent(result.confidence)}`),
          el("p", { class: "note" }, conditionWords(result)),
          bars(result.probabilities, "Classes of gait"),
          el("h3", {}, `${result.frames.indices.length} of ${result.frames.clip_frames} frames were looked at`),
          strip, provenance(fromJson(answer)), code);
        showFrames(strip, urlOf("clip", file), result.frames);
        return `${result.label}, ${percent(result.confidence)}`;
      });
    };
    const input = picker({
      noun: "clip", title: "Clip", accept: "video/*", onFile: take,
      samples: [["walk.webm", "Sample: a walking figure, drawn"]],
    });
    panel.input.append(
      input.node,
      el("p", { class: "field" }, el("label", { for: "condition" }, "Condition of the person, if known"), condition, names));
    panel.accept = input.take;
    fillNames(names, panel.facts.panels.gait.models[0]);
  },
});

async function fillNames(datalist, model) {
  try {
    const { conditions = [] } = await get(`v1/models/${model}`);
    datalist.append(...conditions.map((name) => el("option", { value: name })));
  } catch {
    // without the names the condition is still free text
  }
}

function conditionWords({ condition, condition_read: read }) {
  if (!read?.given) return "No condition was given.";
  if (read.read_as === "nothing") return `The condition “${read.given}” was not understood.`;
  return `Condition: ${condition ?? read.name ?? read.given}${read.text_model ? `, read by ${read.text_model}` : ""}.`;
}

/** Draw the frames one after the other, as the browser decodes them. */
async function showFrames(strip, url, { indices, times_s: times }) {
  const items = indices.map((index, i) => el("li", {}, el("span", {}, `${times[i].toFixed(2)} s`)));
  strip.replaceChildren(...items);
  const video = el("video", { src: url, muted: true, playsinline: true, preload: "auto" });
  try {
    await happens(video, "loadeddata");
    for (const [i, item] of items.entries()) {
      if (!strip.isConnected) return;
      video.currentTime = times[i] + 0.001; // within the frame, not on the border to the one before
      await happens(video, "seeked");
      const height = Math.round((FRAME_WIDTH * video.videoHeight) / video.videoWidth);
      const canvas = el("canvas", { width: FRAME_WIDTH, height, role: "img", "aria-label": `Frame ${indices[i]}` });
      canvas.getContext("2d").drawImage(video, 0, 0, FRAME_WIDTH, height);
      item.prepend(canvas);
    }
  } catch {
    strip.before(el("p", { class: "note" }, "The browser cannot show the frames of this clip."));
  }
}

function happens(target, event) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(reject, 1000 * SEEK_S);
    target.addEventListener(event, () => { clearTimeout(timer); resolve(); }, { once: true });
    target.addEventListener("error", reject, { once: true });
  });
}
