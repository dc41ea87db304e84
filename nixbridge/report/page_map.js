// The treemap: layers, and in them store paths, as areas.

const STEPS = [0.02, 0.1, 0.25, 0.5];
const STEP_WORDS = ["under 2 %", "2 to 10 %", "10 to 25 %", "25 to 50 %", "50 % and more"];
// No tile is smaller, and there are no more than so many of the same size: the rest is one tile.
const LEAST_AREA = 200;
const MOST_TILES = 700;

/** Give each item a rectangle whose area is its share of `box`; they come largest first. */
function squarify(items, box) {
  const rectangles = [];
  let { x, y, width, height } = box;
  const scale = (width * height) / sum(items.map((item) => item.size));
  let at = 0;
  while (at < items.length) {
    const side = Math.min(width, height);
    let row = [];
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
  let count = ordered.findIndex((item) => item.size * scale < least);
  if (count < 0 || count === ordered.length - 1) return ordered;
  const rest = ordered.splice(count);
  // Itself too small to be seen, it is as wide as it must be.
  const size = Math.max(sum(rest.map((item) => item.size)), least / scale);
  return [...ordered, { ...makeRest(rest), size }].sort((a, b) => b.size - a.size);
}

const total = sum(data.layers.map((layer) => layer.size));

function layerWords(layer) {
  const words = [`Layer ${layer.number}: ${formatSize(layer.size)}, `
    + `${formatPercent(layer.size / total)} of the image`, layer.reason];
  if (layer.probability !== null)
    words.push(`Changes with ${formatPercent(layer.probability)} of updates`);
  if (layer.state !== null) words.push(layer.state === "sent" ? "Is sent" : "Is kept");
  return words.filter(Boolean).join("\n");
}

function pathWords(at, layer) {
  const path = data.paths[at];
  const words = [path.name, `${formatSize(path.size)}, ${formatPercent(path.size / total)} of `
    + `the image, in layer ${layer.number}`];
  if (path.dominated > path.size)
    words.push(`${formatSize(path.dominated)} with all that nothing else needs`);
  return words.join("\n");
}

function layerItem(layer) {
  const leaves = layer.paths.map((at) => ({
    at,
    size: data.paths[at].size,
    labels: [`${data.paths[at].name} ${formatSize(data.paths[at].size)}`, data.paths[at].name],
    words: pathWords(at, layer),
  }));
  const facts = [layer.number, formatSize(layer.size)];
  if (layer.probability !== null) facts.push(formatPercent(layer.probability));
  if (layer.state !== null) facts.push(layer.state);
  const step = STEPS.filter((least) => layer.probability >= least).length;
  return {
    size: layer.size,
    labels: [facts.join(" · "), facts.slice(0, 2).join(" · "), String(layer.number)],
    words: layerWords(layer),
    tone: layer.state || `step-${step}`,
    leaves,
  };
}

function drawMap() {
  const figure = byId("map-figure");
  const hadFocus = figure.contains(document.activeElement);
  const map = make("div", { class: "map", role: "tree", "aria-labelledby": "map-title",
    "aria-describedby": "map-hint" });
  figure.replaceChildren(map);
  const box = { x: 0, y: 0, width: map.clientWidth, height: map.clientHeight };
  const area = box.width * box.height;
  const least = Math.max(LEAST_AREA, area / MOST_TILES);
  const layers = withRest(data.layers.map(layerItem), area, least, (rest) => ({
    labels: [`${rest.length} more`, `+${rest.length}`],
    words: `${rest.length} smaller layers: ${formatSize(sum(rest.map((item) => item.size)))}`,
    tone: rest.every((item) => item.tone === rest[0].tone) ? rest[0].tone : "mixed",
    leaves: [],
  }));
  squarify(layers, box).forEach((place, index) => {
    map.append(layerTile(layers[index], place, least));
  });
  const first = map.querySelector(".tile");
  if (first) first.tabIndex = 0;
  if (hadFocus && first) first.focus();
  markChosen();
}

/** Return the longest of some labels that a tile has room for; of a name, its beginning. */
function labelFor(labels, width) {
  const LETTER = 7.6, LEAST = 44, LEAST_LETTERS = 5;
  const last = labels[labels.length - 1];
  const fitting = labels.find((label) => label.length * LETTER + 10 <= width);
  return fitting ?? (width >= LEAST && last.length > LEAST_LETTERS ? last : "");
}

function tileAt(place, classes, item, level) {
  const tile = make("div", { class: `tile ${classes}`, role: "treeitem", tabindex: "-1",
    "aria-level": level, "aria-label": item.words.replaceAll("\n", ". ") },
    ...(item.lines || [item.labels]).map((labels) =>
      make("span", { class: "label", "aria-hidden": "true" }, labelFor(labels, place.width))));
  Object.assign(tile.style, { left: `${place.x}px`, top: `${place.y}px`,
    width: `${place.width}px`, height: `${place.height}px` });
  tile.dataset.words = item.words;
  if (item.at !== undefined) tile.dataset.at = item.at;
  return tile;
}

/** Make the tile of a layer, and those of its paths in it if there is room. */
function layerTile(item, place, least) {
  const HEAD = 18;
  if (item.leaves.length === 1) {
    const [leaf] = item.leaves;
    const whole = { ...leaf, lines: [item.labels, [data.paths[leaf.at].name]],
      words: `${item.words}\n${leaf.words}` };
    return tileAt(place, `layer ${hasReferences ? "leaf " : ""}${item.tone}`, whole, 1);
  }
  const tile = tileAt(place, `layer ${item.tone}`, item, 1);
  const inside = { x: 1, y: HEAD, width: place.width - 4, height: place.height - HEAD - 3 };
  if (!item.leaves.length || inside.width < 24 || inside.height < 16) return tile;
  const leaves = withRest(item.leaves, inside.width * inside.height, least, (rest) => ({
    labels: [`${rest.length} more`, `+${rest.length}`],
    words: `${rest.length} smaller paths: ${formatSize(sum(rest.map((leaf) => leaf.size)))}`,
  }));
  const group = make("div", { role: "group" });
  squarify(leaves, inside).forEach((spot, index) => {
    const kind = hasReferences && leaves[index].at !== undefined ? "inner leaf" : "inner";
    group.append(tileAt(spot, kind, leaves[index], 2));
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

function startMap() {
  if (!total) return;
  byId("map").hidden = false;
  byId("map-enter").hidden = !hasReferences;
  const figure = byId("map-figure");
  const legend = data.layers.some((layer) => layer.state !== null)
    ? [["kept", "kept"], ["sent", "sent"]]
    : STEP_WORDS.map((words, step) => [`step-${step}`, words]);
  byId("map-legend").append(...legend.map(([tone, words]) =>
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
