// What moves on a page of `plan --html` and `diff --html`: page.js, page_map.js, page_costs.js,
// page_path.js and page_tables.js, one after the other in one script, and page_start.js at the end.
// All that it shows is in the element `#data`; nothing is fetched. Texts become text nodes, never
// markup: names come from anybody.
//
// Here is what the others share: the data, elements, numbers in words, the tooltip. A path is its
// place in `data.paths`, everywhere.
"use strict";

const data = JSON.parse(byId("data").textContent);
const hasRoots = Object.keys(data.roots).length > 0;
const hasReferences = data.paths.some((path) => path.references.length > 0);
// What refers to each path, and in which layers it lies.
const referrers = data.paths.map(() => []);
data.paths.forEach((path, at) => path.references.forEach((to) => referrers[to].push(at)));
const layersOf = data.paths.map(() => []);
data.layers.forEach((layer) => layer.paths.forEach((at) => layersOf[at].push(layer)));

function byId(id) {
  return document.getElementById(id);
}

/** Make an element; `children` are elements and texts. */
function make(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

function makeSvg(name, attributes, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function sum(numbers) {
  return numbers.reduce((total, number) => total + number, 0);
}

/** Round as Python does: what lies in the middle goes to the even neighbour. */
function fixed(number, digits) {
  const parts = digits ? number * 4 : number * 2;
  if (!Number.isInteger(parts) || parts % 2 === 0) return number.toFixed(digits);
  const low = Math.floor(number * 10 ** digits);
  return ((low % 2 ? low + 1 : low) / 10 ** digits).toFixed(digits);
}

/** Write bytes as `format_size` of report/table.py does. */
function formatSize(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (fixed(bytes, 0) >= 1000 && unit < units.length - 1) {
    bytes /= 1000;
    unit += 1;
  }
  return `${fixed(bytes, unit && fixed(bytes, 1) < 10 ? 1 : 0)} ${units[unit]}`;
}

function formatPercent(part) {
  return part > 0 && part < 0.005 ? "<1 %" : `${fixed(part * 100, 0)} %`;
}

function formatCount(count, noun) {
  return count === 1 ? `1 ${noun}` : `${count} ${noun}s`;
}

/** Write a cell of a table as report/page.py does. */
function formatCell(kind, value) {
  if (value === null) return "";
  if (kind === "size") return formatSize(value);
  if (kind === "difference")
    return (value > 0 ? "+" : value < 0 ? "-" : "") + formatSize(Math.abs(value));
  if (kind === "percent") return formatPercent(value);
  if (kind === "path") return data.paths[value].title;
  return String(value);
}

/** Call `draw` soon, and whenever the width of `element` changes. */
function drawToWidth(element, draw) {
  let width = 0;
  new ResizeObserver(() => {
    if (element.clientWidth === width) return;
    width = element.clientWidth;
    requestAnimationFrame(draw);
  }).observe(element);
}

// The tooltip, for the pointer and for the focus.

const tip = byId("tip");

function showTip(element, text) {
  tip.textContent = text;
  tip.hidden = false;
  const box = element.getBoundingClientRect();
  const left = Math.min(box.left + 8, document.documentElement.clientWidth - tip.offsetWidth - 8);
  const below = box.bottom + tip.offsetHeight + 8 < window.innerHeight;
  // A tile as tall as the window has no room below it; then the tip lies in it.
  const top = below ? box.bottom + 4 : Math.max(box.top - tip.offsetHeight - 4, 4);
  tip.style.left = `${Math.max(left, 8) + window.scrollX}px`;
  tip.style.top = `${top + window.scrollY}px`;
}

function hideTip() {
  tip.hidden = true;
}

document.addEventListener("keydown", (event) => event.key === "Escape" && hideTip());
