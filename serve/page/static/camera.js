// The camera: single pictures, and a live mode that sends a frame as soon as the last is answered.

import { el, button } from "./dom.js";
import { waitWords } from "./server.js";

export const hasDevices = () => Boolean(navigator.mediaDevices?.getUserMedia);
export const NO_DEVICES = "Camera and microphone need HTTPS, or localhost.";
const LIVE_SIDE = 640; // px; the longer side of a frame of the live mode
const PICTURE_SIDE = 1280;
const LIVE = "Live: each frame is sent as soon as the last one is answered.";

/** Return why a camera or microphone cannot be used, in words. */
export function deviceProblem(error) {
  if (!hasDevices()) return NO_DEVICES;
  if (error?.name === "NotAllowedError") return "The browser or you did not allow it.";
  if (error?.name === "NotFoundError") return "No such device was found.";
  return `It cannot be used: ${error?.message ?? error}`;
}

/**
 * Return a box with the camera and its buttons, and the button that opens it.
 *
 * onPicture gets a File. onFrame, for the live mode, gets a File and a listener for waits, as `send`
 * has it; its promise ends when the frame is answered, with a function that shows the answer over
 * the video and returns its milliseconds in words.
 */
export function cameraBox({ onPicture, onFrame = null, onStop = () => {} }) {
  const video = el("video", { autoplay: true, muted: true, playsinline: true, "aria-label": "Camera" });
  video.muted = true;
  const over = el("div", { class: "over" });
  const said = el("p", { class: "note", role: "status" });
  const numbers = el("p", { class: "note timing" });
  const take = button("Take the picture", async () => {
    const file = await frameOf(video, PICTURE_SIDE, "camera.jpg");
    close();
    onPicture(file);
  });
  const live = onFrame && button("Start live", () => (running ? pauseLive() : startLive()));
  const stage = el("div", { class: "stage", hidden: true }, video, over);
  const controls = el("p", { class: "row", hidden: true }, take, live, button("Close the camera", close));
  const open = button("Use the camera", start);
  const node = el("div", { class: "camera" }, stage, controls, said, numbers);
  let stream = null;
  let running = 0; // counts the live runs; 0: none

  async function start() {
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user" } });
    } catch (error) {
      said.textContent = deviceProblem(error);
      return;
    }
    video.srcObject = stream;
    await video.play();
    show(true);
    said.textContent = "The camera is on.";
    take.focus();
  }

  function close() {
    if (!stream) return;
    pauseLive();
    stream.getTracks().forEach((track) => track.stop());
    stream = null;
    video.srcObject = null;
    show(false);
    said.textContent = "The camera is off.";
    open.focus();
  }

  function show(isOn) {
    stage.hidden = controls.hidden = !isOn;
    open.hidden = isOn;
  }

  function pauseLive() {
    if (!running) return;
    running = 0;
    live.textContent = "Start live";
    over.replaceChildren();
    onStop();
  }

  async function startLive() {
    const run = running = Date.now();
    live.textContent = "Stop live";
    said.textContent = LIVE;
    const times = [];
    while (running === run) {
      const file = await frameOf(video, LIVE_SIDE, "frame.jpg");
      if (running !== run) return; // stopped meanwhile
      try {
        const showFrame = await onFrame(file, (wait) => { said.textContent = waitWords(wait); });
        if (running !== run) return;
        said.textContent = LIVE;
        const line = showFrame(over);
        times.push(performance.now());
        if (times.length > 10) times.shift();
        numbers.textContent = `${rateOf(times)}${line}`;
      } catch (error) {
        if (error.name === "AbortError") return;
        pauseLive();
        said.textContent = `Live stopped: ${error.message}`;
      }
    }
  }

  return { node, open, close };
}

function rateOf(times) {
  if (times.length < 2) return "";
  const rate = (1000 * (times.length - 1)) / (times.at(-1) - times[0]);
  return `${rate.toFixed(1)} answers a second · `;
}

async function frameOf(video, side, name) {
  const scale = Math.min(1, side / Math.max(video.videoWidth, video.videoHeight));
  const canvas = el("canvas", {
    width: Math.round(scale * video.videoWidth), height: Math.round(scale * video.videoHeight),
  });
  canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.85));
  return new File([blob], name, { type: "image/jpeg" });
}
