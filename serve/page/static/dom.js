// Elements without HTML strings: what a user or a server wrote is always text.

const SVG = "http://www.w3.org/2000/svg";

/** Create an HTML element. `on` has event listeners; true is an attribute without a value. */
export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** Create an SVG element. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(node, { on = {}, ...attributes }, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  for (const [event, listener] of Object.entries(on)) node.addEventListener(event, listener);
  node.append(...children.flat().filter((child) => child != null && child !== false));
  return node;
}

/** Create a button with a text. */
export function button(text, click, attributes = {}) {
  return el("button", { type: "button", ...attributes, on: { click } }, text);
}

/** Place an element over a picture or a time axis; all values are shares from 0 to 1. */
export function place(node, { left, top, width, height }) {
  const percent = (value) => `${(100 * value).toFixed(3)}%`;
  if (left != null) node.style.left = percent(left);
  if (top != null) node.style.top = percent(top);
  if (width != null) node.style.width = percent(width);
  if (height != null) node.style.height = percent(height);
  return node;
}

/** Return the address of a file in memory; the one before, of the same owner, is released. */
export function addresses() {
  const current = new Map();
  return (owner, blob) => {
    if (current.has(owner)) URL.revokeObjectURL(current.get(owner));
    current.set(owner, URL.createObjectURL(blob));
    return current.get(owner);
  };
}

export const percent = (share) => `${(100 * share).toFixed(1)} %`;
export const milliseconds = (value) => `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
export const plural = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;
