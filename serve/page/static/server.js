// Requests to the server: every address is relative to the page, whatever path it is served under.

import { plural } from "./dom.js";

export const BASE = new URL(".", location.href);
const TRIES = 5;
const LONGEST_WAIT_S = 30;

let key = ""; // in memory alone

export const hasKey = () => key !== "";
export const setKey = (value) => { key = value; };

/** An answer of the server that is an error; the message is the server's own. */
export class ServerError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export const address = (path) => new URL(path, BASE).href;

/** Get JSON. */
export async function get(path, signal) {
  const response = await fetch(address(path), { headers: headers(), signal });
  if (!response.ok) throw new ServerError(response.status, await messageOf(response));
  return response.json();
}

/**
 * Send a request, again after Retry-After seconds if the server is busy.
 *
 * request: { path, query: [[name, value]], files: [[field, File or text]] }
 * onWait is called with { seconds, status, message, attempt, tries } before each wait. isStored
 * is false for requests that come once, whose answers the server need not keep.
 * Returns { json or blob, headers, stages, totalMs }.
 */
export async function send(request, { signal, onWait = () => {}, isStored = true } = {}) {
  const storing = isStored ? {} : { "Cache-Control": "no-store" };
  for (let attempt = 1; ; attempt += 1) {
    const start = performance.now();
    const response = await fetch(address(request.path), {
      method: "POST", body: formOf(request), headers: { ...headers(), ...storing }, signal,
    });
    if (response.ok) return answerOf(response, start);
    const message = await messageOf(response);
    const seconds = retryAfter(response);
    if (seconds === null || attempt === TRIES) throw new ServerError(response.status, message);
    onWait({ seconds, status: response.status, message, attempt: attempt + 1, tries: TRIES });
    await pause(seconds, signal);
  }
}

/** Return a wait in words. */
export function waitWords({ seconds, status, message, attempt, tries }) {
  return `${status}: ${message}. Again in ${plural(seconds, "second")}, try ${attempt} of ${tries}.`;
}

/** Wait some seconds; reject at once when the signal aborts. */
export function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, 1000 * seconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    }, { once: true });
  });
}

/** Return milliseconds by stage from a Server-Timing header. */
export function stagesOf(header) {
  const entries = (header ?? "").matchAll(/([a-z]+);dur=([0-9.]+)/g);
  return Object.fromEntries([...entries].map(([, name, value]) => [name, Number(value)]));
}

function headers() {
  return key ? { Authorization: `Bearer ${key}` } : {};
}

function formOf({ files, query = [] }) {
  const form = new FormData();
  for (const [name, value] of files) {
    if (value instanceof Blob) form.append(name, value, value.name);
    else form.append(name, value);
  }
  for (const [name, value] of query) form.append(name, value);
  return form;
}

async function answerOf(response, start) {
  const isJson = response.headers.get("content-type") === "application/json";
  const content = isJson ? { json: await response.json() } : { blob: await response.blob() };
  return {
    ...content,
    headers: response.headers,
    stages: stagesOf(response.headers.get("server-timing")),
    totalMs: performance.now() - start,
  };
}

async function messageOf(response) {
  const text = await response.text();
  try {
    return JSON.parse(text).error ?? text;
  } catch {
    return text || response.statusText;
  }
}

function retryAfter(response) {
  if (response.status !== 429 && response.status !== 503) return null;
  const seconds = Number(response.headers.get("retry-after") ?? NaN);
  return seconds >= 0 && seconds <= LONGEST_WAIT_S ? seconds : null;
}
