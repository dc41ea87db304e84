// The treemap: layers, and in them store paths, as areas.
//
// A tile is made of an item: its `size`; `labels`, the longest first, of which one is shown if
// there is room (a name may be cut off, a number may not); `words`, which say it all, in the tip
// and to whoever does not see it, and begin with the longest label, so that whoever speaks to the
// page can say what is seen. Of a path there is `at`; of a layer its `leaves`, which are the
// items of its paths, and its `tone`, which are the classes of how it looks.

const STEPS = [0.02, 0.1, 0.25, 0.5];
const STEP_WORDS = ["under 2 %", "2 to 10 %", "10 to 25 %", "25 to 50 %", "50 % and more"];
// No tile is smaller, and there are no more than so many of the same size: the rest is one tile.
const LEAST_AREA = 200;
const MOST_TILES = 700;
// In pixels, as page.css has them: the height of a label, what is beside its text, and the least
// width in which the beginning of a name says something.
const LABEL_HEIGHT = 19;
const LABEL_PADDING = 12;
const LEAST_NAME_WIDTH = 46;
const LABEL_FONT = `12px ${getComputedStyle(document.body).fontFamily}`;
const ruler = document.createElement("canvas").getContext("2d");

/** Give each item a rectangle whose area is its share of `box`; they come largest first. */
function squarify(items, box) {
  const rectangles = [];
  let { x, y, width, height } = box;
  const scale = (width * height) / sum(items.map((item) => item.size));
  let at = 0;
  while (at < items.length) {
    const side = Math.min(width, height);
    const row = [];
    let area = 0;
    let worst = Infinity;
    while (at + row.length < items.length) {
      const next = items[at + row.length].size * scale;
      const largest = row.length ? items[at].size * scale : next;
      const grown = area + next;
      const ratio = Math.max(
        (side * side * largest) / (grown * grown), (grown * grown) / (side * side * next));
      if (ratio > worst) break;
      worst = ratio;
      area = grown;
      row.push(next);
    }
    const depth = side > 0 ? area / side : 0;
    let along = 0;
    for (const each of row) {
      const length = area > 0 ? (each / area) * side : 0;
      rectangles.push(width >= height
        ? { x, y: y + along, width: depth, height: length }
        : { x: x + along, y, width: length, height: depth });
      along += length;
    }
    if (width >= height) {
      x += depth;
      width -= depth;
    } else {
      y += depth;
      height -= depth;
    }
    at += row.length;
  }
  return rectangles;
}

/** Return the items that are large enough for a tile, and one for all the others. */
function withRest(items, area, least, makeRest) {
  const ordered = items.filter((item) => item.size > 0).sort((a, b) => b.size - a.size);
  const scale = area / sum(ordered.map((item) => item.size));
  const count = ordered.findIndex((item) => item.size * scale < least);
  if (count < 0 || count === ordered.length - 1) return ordered;
  const rest = ordered.splice(count);
  // Itself too small to be seen, it is as wide as it must be.
  const size = Math.max(sum(rest.map((item) => item.size)), least / scale);
  return [...ordered, { ...makeRest(rest), size }].sort((a, b) => b.size - a.size);
}

const total = sum(data.layers.map((layer) => layer.size));
const hasProbabilities = data.layers.some((layer) => layer.probability !== null);
const hasStates = data.layers.some((layer) => layer.state !== null);
// Of the tile of a path, which can be chosen if there is something to show of it.
const leafClass = hasReferences ? "leaf" : "";

/** Return the classes that tell how often a layer changes, and whether it is sent. */
function layerTone({ probability, state }) {
  if (!hasProbabilities) return state === "sent" ? "fresh sent" : "plain";
  const step = STEPS.filter((least) => probability >= least).length;
  return `${probability === null ? "plain" : `step-${step}`} ${state === "sent" ? "sent" : ""}`;
}

function ofImage(size) {
  return `${formatPercent(size / total)} of the image`;
}

function layerItem(layer) {
  const size = formatSize(layer.size);
  const facts = [layer.number, size, ...(layer.state === null ? [] : [layer.state]),
    ...(layer.probability === null ? [] : [formatPercent(layer.probability)])].join(" · ");
  const all = `layer ${facts}${layer.probability === null ? "" : " of updates"}`;
  return {
    size: layer.size,
    labels: [all, facts, `${layer.number} · ${size}`, String(layer.number)],
    words: [all, layer.reason, ofImage(layer.size)].filter(Boolean).join("\n"),
    tone: layerTone(layer),
    leaves: layer.paths.map((at) => pathItem(at, layer)),
  };
}

function pathItem(at, layer) {
  const { title, size, dominated } = data.paths[at];
  const all = `${title} ${formatSize(size)}`;
  const words = [all, `${ofImage(size)}, in layer ${layer.number}`];
  if (dominated > size) words.push(`${formatSize(dominated)} with all that nothing else needs`);
  return { at, size, labels: [all, title], words: words.join("\n") };
}

/** Return an item for all that are too small for a tile of their own. */
function restItem(items, noun) {
  const size = formatSize(sum(items.map((item) => item.size)));
  return {
    labels: [`${items.length} more`, `+${items.length}`],
    words: `${items.length} more ${noun}, which are smaller: ${size}`,
    tone: items.every((item) => item.tone === items[0].tone) ? items[0].tone : "plain",
    leaves: [],
  };
}

function drawMap() {
  const figure = byId("map-figure");
  const hadFocus = figure.contains(document.activeElement);
  const map = make("div", { class: "map", role: "tree", "aria-labelledby": "map-title",
    "aria-describedby": "map-hint map-keys" });
  figure.replaceChildren(map);
  const box = { x: 0, y: 0, width: map.clientWidth, height: map.clientHeight };
  const area = box.width * box.height;
  const least = Math.max(LEAST_AREA, area / MOST_TILES);
  const layers = withRest(data.layers.map(layerItem), area, least,
    (rest) => restItem(rest, "layers"));
  squarify(layers, box).forEach((place, index) => {
    map.append(layerTile(layers[index], place, box, least));
  });
  const first = map.querySelector(".tile");
  if (first) first.tabIndex = 0;
  if (hadFocus && first) first.focus();
  markChosen();
}

/** Make a label of a tile, with the longest text that there is room for, if there is any. */
function tileLabel(item, width) {
  const isLayer = item.tone !== undefined;
  const isPath = item.at !== undefined;
  ruler.font = `${isLayer ? 600 : 400} ${LABEL_FONT}`;
  const fitting = item.labels.find((label) =>
    ruler.measureText(label).width <= width - LABEL_PADDING);
  const text = fitting ?? (isPath && width >= LEAST_NAME_WIDTH ? item.labels.at(-1) : "");
  return make("span", { class: isLayer ? "label heading" : "label", "aria-hidden": "true" }, text);
}

/** Make a tile at a place in a box; the lines of its label are those of `items`. */
function tileAt(place, box, classes, level, items) {
  const words = items.map((item) => item.words).join("\n");
  const tile = make("div", { class: `tile ${classes}`, role: "treeitem", tabindex: "-1",
    "aria-level": level, "aria-label": words.replaceAll("\n", ". ") },
    ...items.slice(0, Math.floor(place.height / LABEL_HEIGHT)).map((item) =>
      tileLabel(item, place.width)));
  // In percent, so that it fits wherever it is shown, on paper too.
  const percent = (part, whole) => `${(part / whole) * 100}%`;
  Object.assign(tile.style, { left: percent(place.x, box.width), top: percent(place.y, box.height),
    width: percent(place.width, box.width), height: percent(place.height, box.height) });
  tile.dataset.words = words;
  const { at } = items.at(-1);
  if (at !== undefined) tile.dataset.at = at;
  return tile;
}

/** Make the tile of a layer, and those of its paths in it if there is room. */
function layerTile(item, place, box, least) {
  const { leaves, tone } = item;
  if (leaves.length === 1)
    return tileAt(place, box, `${leafClass} ${tone}`, 1, [item, ...leaves]);
  const tile = tileAt(place, box, tone, 1, [item]);
  // As page.css has it: the border, the gap at the sides, and the layer's own label above.
  const inside = { x: 0, y: 0, width: place.width - 4, height: place.height - LABEL_HEIGHT - 4 };
  if (!leaves.length || inside.width < 24 || inside.height < 16) return tile;
  const shown = withRest(leaves, inside.width * inside.height, least,
    (rest) => restItem(rest, "paths"));
  const group = make("div", { class: "paths", role: "group" });
  squarify(shown, inside).forEach((spot, index) => {
    const classes = shown[index].at === undefined ? "" : leafClass;
    group.append(tileAt(spot, inside, classes, 2, [shown[index]]));
  });
  tile.setAttribute("aria-expanded", "true");
  tile.append(group);
  return tile;
}

function moveFocus(tile) {
  if (!tile) return;
  byId("map-figure").querySelectorAll("[tabindex='0']").forEach((other) => {
    other.tabIndex = -1;
  });
  tile.tabIndex = 0;
  tile.focus();
}

function onMapKey(event) {
  const tile = event.target.closest(".tile");
  if (!tile) return;
  const moves = {
    ArrowRight: () => tile.nextElementSibling,
    ArrowLeft: () => tile.previousElementSibling,
    ArrowDown: () => tile.querySelector(".tile"),
    ArrowUp: () => tile.parentElement.closest(".tile"),
    Home: () => tile.parentElement.querySelector(".tile"),
    End: () => tile.parentElement.lastElementChild,
  };
  if (event.key in moves) moveFocus(moves[event.key]());
  else if (event.key === "Enter" || event.key === " ") chooseTile(tile);
  else return;
  event.preventDefault();
}

function chooseTile(tile) {
  if (tile.dataset.at !== undefined && hasReferences) choose(Number(tile.dataset.at));
  else moveFocus(tile.querySelector(".tile"));
}

/** Return the tones that there are, and what each of them means. */
function mapLegend() {
  const framed = hasReferences ? [["chosen", "framed: the path below"]] : [];
  if (!hasProbabilities) return [["plain", "kept"], ["fresh sent", "sent"], ...framed];
  const legend = STEP_WORDS.map((words, step) => [`step-${step}`, words]);
  if (data.layers.some((layer) => layer.probability === null))
    legend.push(["plain", "of the base image: not known"]);
  if (hasStates) legend.push(["plain sent", "hatched: a push sends it"]);
  return [...legend, ...framed];
}

function startMap() {
  if (!total) return;
  byId("map").hidden = false;
  byId("map-enter").hidden = !hasReferences;
  const figure = byId("map-figure");
  byId("map-legend").append(...mapLegend().map(([tone, words]) =>
    make("li", {}, make("span", { class: `swatch ${tone}` }), words)));
  figure.addEventListener("keydown", onMapKey);
  figure.addEventListener("click", (event) => {
    const tile = event.target.closest(".tile");
    if (!tile) return;
    moveFocus(tile);
    if (tile.dataset.at !== undefined) chooseTile(tile);
  });
  const tell = (event) => {
    const tile = event.target.closest(".tile");
    if (tile) showTip(tile, tile.dataset.words);
  };
  figure.addEventListener("mouseover", tell);
  figure.addEventListener("focusin", tell);
  figure.addEventListener("mouseleave", hideTip);
  figure.addEventListener("focusout", hideTip);
  drawToWidth(figure, drawMap);
}
