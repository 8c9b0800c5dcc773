// Sounds in the browser: decoded for the waveform, and to WAV where the server cannot decode them.

const RATE = 16000; // Hz; the server resamples to what its model takes
const READ_BY_SERVER = /(wav|wave|flac|ogg|opus|mpeg|mp3)$/;

/** Return whether the server, without PyAV, reads this kind of sound. */
export function isReadByServer(file) {
  const type = file.type.split(";")[0];
  return READ_BY_SERVER.test(type) || (!type && READ_BY_SERVER.test(file.name.toLowerCase()));
}

/** Decode a sound to one channel, Float32Array at RATE; throws what the browser cannot decode. */
export async function decode(file) {
  const context = new OfflineAudioContext(1, 1, RATE);
  const sound = await context.decodeAudioData(await file.arrayBuffer());
  const mono = new Float32Array(sound.length);
  for (let channel = 0; channel < sound.numberOfChannels; channel += 1) {
    const samples = sound.getChannelData(channel);
    for (let i = 0; i < mono.length; i += 1) mono[i] += samples[i] / sound.numberOfChannels;
  }
  return { samples: mono, seconds: sound.duration };
}

/** Return a WAV file of 16 bits. */
export function wavFile(samples, name) {
  const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const text = (at, word) => [...word].forEach((c, i) => view.setUint8(at + i, c.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + 2 * samples.length, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true); // one channel
  view.setUint32(24, RATE, true);
  view.setUint32(28, 2 * RATE, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, 2 * samples.length, true);
  samples.forEach((sample, i) => {
    view.setInt16(44 + 2 * i, Math.round(32767 * Math.min(1, Math.max(-1, sample))), true);
  });
  return new File([view], name, { type: "audio/wav" });
}

/** Return the loudest sample of each of `count` equal parts, from 0 to 1. */
export function peaks(samples, count) {
  const length = samples.length / count;
  return Array.from({ length: count }, (_, part) => {
    let peak = 0;
    const end = Math.min(samples.length, Math.ceil((part + 1) * length));
    for (let i = Math.floor(part * length); i < end; i += 1) peak = Math.max(peak, Math.abs(samples[i]));
    return peak;
  });
}

/** Record the microphone; returns { stop }, whose promise gives the file. Ends by itself. */
export async function record(longestS) {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  const recorder = new MediaRecorder(stream);
  const chunks = [];
  recorder.addEventListener("dataavailable", ({ data }) => chunks.push(data));
  const ended = new Promise((resolve) => {
    recorder.addEventListener("stop", () => {
      clearTimeout(timer);
      stream.getTracks().forEach((track) => track.stop());
      const type = recorder.mimeType.split(";")[0];
      const suffix = type.endsWith("mp4") ? "m4a" : type.split("/")[1];
      resolve(new File(chunks, `recording.${suffix}`, { type }));
    });
  });
  const stop = () => {
    if (recorder.state !== "inactive") recorder.stop();
    return ended;
  };
  const timer = setTimeout(stop, 1000 * longestS);
  recorder.start();
  return { stop, ended };
}
