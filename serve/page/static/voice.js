// A voice: its waveform with the emotion over time.

import { el, svg, addresses, percent, place } from "./dom.js";
import { bars, fromJson, provenance } from "./answer.js";
import { createPanel, problem } from "./panel.js";
import { picker } from "./picker.js";
import { decode, isReadByServer, peaks, wavFile } from "./sound.js";

const COLUMNS = 300; // of the waveform

export const voice = createPanel({
  name: "voice",
  title: "Voice",
  intro: "Classify the emotion of a voice, in windows of three seconds over the whole recording.",
  build(panel) {
    const urlOf = addresses();
    const take = async (file) => {
      panel.stop();
      const sound = await decode(file).catch(() => null); // the server may read what the browser cannot
      let sent = file;
      if (!isReadByServer(file) && !panel.facts.decodes_recordings) {
        if (!sound) {
          panel.result.replaceChildren();
          panel.say(problem(new Error(`Neither the browser nor this server decodes ${file.type || file.name}.`)));
          return;
        }
        sent = wavFile(sound.samples, file.name.replace(/\.[^.]*$/, "") + ".wav");
      }
      const request = { path: "v1/voice-emotion", files: [["audio", sent]] };
      await panel.ask(request, (answer, code) => {
        const { result } = answer.json;
        panel.result.replaceChildren(
          el("p", { class: "headline" }, headline(result)),
          el("audio", { controls: true, src: urlOf("sound", sent) }),
          timeline(result, sound),
          table(result),
          result.silent ? "" : bars(result.probabilities, "Emotions over the whole recording"),
          provenance(fromJson(answer)), code);
        return headline(result);
      });
    };
    const input = picker({
      noun: "recording", title: "Recording", accept: "audio/*,video/webm", onFile: take,
      samples: [["voice.mp3", "Sample: a synthetic voice"]],
      longestS: panel.facts.limits.audio_s,
    });
    panel.input.append(input.node);
    panel.accept = input.take;
  },
});

const wordsOf = ({ silent, label, confidence }) => silent ? "silent" : `${label}, ${percent(confidence)}`;
const headline = (result) => result.silent
  ? "Silence has no emotion." : `${wordsOf(result)}, over ${result.duration_s.toFixed(1)} s`;

function timeline({ windows, duration_s: seconds }, sound) {
  const track = el("div", { class: "windows" }, windows.map((window, index) => place(
    el("span", { class: `window ${index % 2 ? "odd" : "even"}` }, wordsOf(window)),
    { left: window.start_s / seconds, width: (window.end_s - window.start_s) / seconds },
  )));
  track.style.height = "3.4em";
  return el("div", { class: "timeline", "aria-hidden": "true" }, sound && waveform(sound), track,
    el("p", { class: "note row ends" }, el("span", {}, "0 s"), el("span", {}, `${seconds.toFixed(1)} s`)));
}

function waveform({ samples }) {
  const heights = peaks(samples, COLUMNS);
  const loudest = Math.max(...heights, 0.001);
  const path = heights.map((height, x) => {
    const half = Math.max(0.5, (48 * height) / loudest);
    return `M${x + 0.5} ${(50 - half).toFixed(1)}V${(50 + half).toFixed(1)}`;
  }).join("");
  return svg("svg", { class: "waveform", viewBox: `0 0 ${COLUMNS} 100`, preserveAspectRatio: "none" },
    svg("path", { d: path }));
}

function table({ windows }) {
  return el("table", {},
    el("caption", {}, "The emotion over time"),
    el("thead", {}, el("tr", {}, ["Seconds", "Emotion", "Probability"].map((text) => el("th", { scope: "col" }, text)))),
    el("tbody", {}, windows.map((window) => el("tr", {},
      el("th", { scope: "row" }, `${window.start_s.toFixed(1)} to ${window.end_s.toFixed(1)}`),
      el("td", {}, window.silent ? "silent" : window.label),
      el("td", {}, window.silent ? "" : percent(window.confidence))))));
}
