// What moves on a page of `plan --html` and `diff --html`. Everything it shows is in the element
// `#data`; nothing is fetched. Texts become text nodes, never markup: names come from anywhere.
"use strict";

(() => {
  const data = JSON.parse(byId("data").textContent);
  const hasRoots = Object.keys(data.roots).length > 0;
  const hasReferences = data.paths.some((path) => path.references.length > 0);
  // What refers to each path, and in which layers it lies.
  const referrers = data.paths.map(() => []);
  data.paths.forEach((path, at) => path.references.forEach((to) => referrers[to].push(at)));
  const layersOf = data.paths.map(() => []);
  data.layers.forEach((layer) => layer.paths.forEach((at) => layersOf[at].push(layer)));

  // ---- Small things -------------------------------------------------------------------------

  function byId(id) {
    return document.getElementById(id);
  }

  /** Make an element; `children` are elements and texts. */
  function make(name, attributes = {}, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  }

  function makeSvg(name, attributes = {}, ...children) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
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
    while (bytes >= 1000 && unit < units.length - 1) {
      bytes /= 1000;
      unit += 1;
    }
    return `${fixed(bytes, unit && bytes < 10 ? 1 : 0)} ${units[unit]}`;
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
    if (kind === "path") return data.paths[value].name;
    return String(value);
  }

  /** Call `draw` now, and whenever the width of `element` changes. */
  function drawToWidth(element, draw) {
    let width = 0;
    new ResizeObserver(() => {
      if (element.clientWidth === width) return;
      width = element.clientWidth;
      requestAnimationFrame(draw);
    }).observe(element);
  }

  // ---- The tooltip: for the pointer and for the focus ------------------------------------------

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

  // ---- The treemap ----------------------------------------------------------------------------

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

  // ---- What an update costs -------------------------------------------------------------------

  const DASHES = ["7 4", "2 3", "11 3 2 3", "4 2", "1 3", "14 4"];
  const NARROW = 560; // pixels

  function dashOf(curve) {
    const others = data.costs.curves.filter((each) => !each.own);
    return curve.own ? "none" : DASHES[others.indexOf(curve) % DASHES.length];
  }

  /** Return what a curve says of plans of at most `count` layers, null if nothing. */
  function costAt(curve, count) {
    const points = curve.points.filter(([layers]) => layers <= count);
    return points.length ? points[points.length - 1][1] : null;
  }

  function niceTicks(most) {
    const rough = most / 4;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 2.5, 5, 10].map((each) => each * power).find((each) => each >= rough);
    return Array.from({ length: Math.floor(most / step) + 1 }, (_, at) => at * step);
  }

  function drawCosts() {
    const { curves, floor, own } = data.costs;
    const figure = byId("cost-figure");
    const hadFocus = figure.contains(document.activeElement);
    const isNarrow = figure.clientWidth < NARROW;
    const counts = [...new Set(curves.flatMap((curve) => curve.points.map(([layers]) => layers))
      .concat(own.layers))].sort((a, b) => a - b);
    const mostLayers = counts[counts.length - 1];
    const mostBytes = Math.max(...curves.flatMap((curve) => curve.points.map(([, cost]) => cost)));
    const width = figure.clientWidth;
    const height = isNarrow ? 280 : 360;
    const left = 62, right = 16, top = 14, bottom = 44;
    const leastLayers = counts[0];
    const spread = Math.log(mostLayers / leastLayers) || 1;
    const x = (layers) => left + (Math.log(layers / leastLayers) / spread) * (width - left - right);
    const y = (bytes) => height - bottom - (bytes / mostBytes) * (height - top - bottom);
    const chart = makeSvg("svg", { class: "chart", width, height,
      viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
    const line = (cls, x1, y1, x2, y2) => makeSvg("line", { class: cls, x1, y1, x2, y2 });
    const text = (cls, atX, atY, anchor, words) =>
      makeSvg("text", { class: cls, x: atX, y: atY, "text-anchor": anchor }, words);

    for (const tick of niceTicks(mostBytes)) {
      chart.append(line(tick ? "grid" : "axis", left, y(tick), width - right, y(tick)),
        text("", left - 8, y(tick) + 4, "end", formatSize(tick)));
    }
    const ticks = [1, 2, 5, 10, 20, 40, 60, 80, 127, 200, 500];
    for (const tick of ticks.filter((each) => leastLayers <= each && each <= mostLayers)) {
      chart.append(line("axis", x(tick), height - bottom, x(tick), height - bottom + 5),
        text("", x(tick), height - bottom + 19, "middle", String(tick)));
    }
    chart.append(text("", (left + width - right) / 2, height - 6, "middle",
      "layers, on a logarithmic scale"));
    chart.append(line("floor", left, y(floor), width - right, y(floor)),
      text("name", left + 4, y(floor) - 6, "start", `floor ${formatSize(floor)}`));

    for (const curve of [...curves].sort((a, b) => a.own - b.own)) {
      const cls = curve.own ? " own" : "";
      const places = curve.points.map(([layers, cost]) => [x(layers), y(cost)]);
      chart.append(makeSvg("polyline", { class: `curve${cls}`, "stroke-dasharray": dashOf(curve),
        points: places.map((place) => place.join(",")).join(" ") }));
      for (const [cx, cy] of places)
        chart.append(makeSvg("circle", { class: `dot${cls}`, cx, cy, r: 2.5 }));
      // Its name stands where the curve has most room above it, if it has enough anywhere.
      const room = curve.points.map(([layers, cost]) => Math.min(y(cost) - top, ...curves
        .filter((other) => other !== curve && costAt(other, layers) !== null)
        .map((other) => y(cost) - y(costAt(other, layers)))
        .map((gap) => (gap < -1 ? Infinity : gap))));
      const best = room.indexOf(Math.max(...room.slice(1, -1)));
      if (room[best] > 24)
        chart.append(text(`name${cls}`, places[best][0] + 6, places[best][1] - 8, "start",
          curve.name));
    }

    const isRight = x(own.layers) > width - 100;
    chart.append(makeSvg("circle", { class: "here", cx: x(own.layers), cy: y(own.cost), r: 5 }),
      text("name own", x(own.layers) + (isRight ? -9 : 9), y(own.cost) + (isRight ? 16 : -9),
        isRight ? "end" : "start", "this plan"));
    const cursor = line("cursor", 0, top, 0, height - bottom);
    chart.append(cursor);

    const plot = make("div", { role: "slider", tabindex: "0", "aria-label": "Number of layers",
      "aria-valuemin": counts[0], "aria-valuemax": mostLayers }, chart);
    let at = counts.indexOf(own.layers);
    const point = (index) => {
      at = Math.max(0, Math.min(counts.length - 1, index));
      const told = curves.map((curve) => [curve.name, costAt(curve, counts[at])])
        .filter(([, cost]) => cost !== null)
        .map(([name, cost]) => `${name} ${formatSize(cost)}`);
      const words = `${formatCount(counts[at], "layer")}: ${told.join(", ")}`;
      byId("cost-readout").textContent = words;
      plot.setAttribute("aria-valuenow", counts[at]);
      plot.setAttribute("aria-valuetext", words);
      for (const end of ["x1", "x2"]) cursor.setAttribute(end, x(counts[at]));
    };
    plot.addEventListener("keydown", (event) => {
      const moves = { ArrowRight: at + 1, ArrowUp: at + 1, ArrowLeft: at - 1, ArrowDown: at - 1,
        Home: 0, End: counts.length - 1 };
      if (!(event.key in moves)) return;
      event.preventDefault();
      point(moves[event.key]);
    });
    plot.addEventListener("pointermove", (event) => {
      const offset = event.clientX - plot.getBoundingClientRect().left;
      const gaps = counts.map((count) => Math.abs(x(count) - offset));
      point(gaps.indexOf(Math.min(...gaps)));
    });
    figure.replaceChildren(plot);
    point(at);
    if (hadFocus) plot.focus();
  }

  function startCosts() {
    // An image without a file costs nothing.
    if (!data.costs || !data.costs.floor) return;
    byId("cost").hidden = false;
    byId("cost-legend").append(...data.costs.curves.map((curve) => {
      const sample = makeSvg("svg", { class: "sample chart", viewBox: "0 0 36 12" },
        makeSvg("line", { class: curve.own ? "curve own" : "curve", x1: 0, y1: 6, x2: 36, y2: 6,
          "stroke-dasharray": dashOf(curve) }));
      return make("li", {}, sample, curve.name);
    }));
    drawToWidth(byId("cost-figure"), drawCosts);
  }

  // ---- A path and its neighbours ----------------------------------------------------------------

  const MOST_NEIGHBOURS = 10;
  const MOST_NAMES = 20;
  let chosen = null;

  /** Return the shortest chain of references from a root to a path: the first that `why` tells. */
  function chainTo(target) {
    const next = new Map([[target, null]]);
    let edge = [target];
    while (edge.length && !edge.some((at) => at in data.roots)) {
      const reached = [];
      for (const at of edge) {
        for (const referrer of referrers[at].filter((each) => !next.has(each))) {
          next.set(referrer, at);
          reached.push(referrer);
        }
      }
      edge = reached.sort((a, b) => a - b);
    }
    const chain = [];
    for (let at = edge.find((each) => each in data.roots) ?? target; at !== null; at = next.get(at))
      chain.push(at);
    return chain;
  }

  function closureSize(target) {
    const seen = new Set([target]);
    for (const at of seen) data.paths[at].references.forEach((to) => seen.add(to));
    return [seen.size, sum([...seen].map((at) => data.paths[at].size))];
  }

  function pathButton(at, cls) {
    const path = data.paths[at];
    const button = make("button", { type: "button", class: cls }, make("span", {}, path.name));
    if (cls === "node") button.append(make("span", { class: "size" }, formatSize(path.size)));
    button.addEventListener("click", () => choose(at, { focus: true }));
    return button;
  }

  function neighbourList(title, indices) {
    const ordered = [...indices].sort((a, b) => data.paths[b].size - data.paths[a].size);
    const list = make("ul");
    const fill = (shown) => {
      list.replaceChildren(...shown.map((at) => make("li", {}, pathButton(at, "node"))));
    };
    fill(ordered.slice(0, MOST_NEIGHBOURS));
    if (ordered.length > MOST_NEIGHBOURS) {
      const more = make("button", { type: "button", class: "link" },
        `and ${ordered.length - MOST_NEIGHBOURS} more`);
      more.addEventListener("click", () => {
        fill(ordered);
        list.querySelectorAll("button")[MOST_NEIGHBOURS].focus();
        drawEdges();
      });
      list.append(make("li", {}, more));
    }
    return make("div", {}, make("h3", {}, `${title} (${ordered.length})`), list);
  }

  function choose(at, { focus = false, scroll = true } = {}) {
    chosen = at;
    const path = data.paths[at];
    const [closureCount, closureBytes] = closureSize(at);
    const where = layersOf[at].map((layer) => `layer ${layer.number}: ${layer.reason}`);
    const chain = make("p", { class: "chain" });
    if (hasRoots)
      chainTo(at).forEach((each, index) =>
        chain.append(...(index ? [" → "] : []), pathButton(each, "link")));
    const facts = [
      `${formatSize(path.size)}; ${formatSize(closureBytes)} with all that it refers to `
        + `(${formatCount(closureCount, "path")})`,
      ...(hasRoots ? [path.dominated > path.size
        ? `${formatSize(path.dominated)} would leave the image with it`
        : "nothing else would leave the image with it"] : []),
      where.length ? where.join("; ") : "in no layer",
      ...(at in data.roots ? [`a root: ${data.roots[at]}`] : []),
    ];
    const centre = make("div", { class: "centre", tabindex: "-1" },
      make("p", { class: "name" }, path.name),
      ...facts.map((fact) => make("p", {}, fact)),
      make("p", { class: "path" }, `${data.storeDirectory}/${path.hash}-${path.name}`));
    const neighbours = make("div", { class: "neighbours" },
      neighbourList("refers to it", referrers[at]), centre,
      neighbourList("it refers to", path.references));
    byId("path-figure").replaceChildren(chain, neighbours);
    byId("path-input").value = path.name;
    drawEdges();
    markChosen();
    if (focus) centre.focus({ preventScroll: true });
    if (scroll) byId("path").scrollIntoView({ block: "nearest" });
  }

  /** Draw a line from each neighbour to the middle; on a phone they stand below each other. */
  function drawEdges() {
    const neighbours = document.querySelector(".neighbours");
    if (!neighbours) return;
    neighbours.querySelector(".edges")?.remove();
    const frame = neighbours.getBoundingClientRect();
    const centre = neighbours.querySelector(".centre").getBoundingClientRect();
    const edges = makeSvg("svg", { class: "edges", "aria-hidden": "true" });
    const middle = centre.top + centre.height / 2 - frame.top;
    neighbours.querySelectorAll(".node").forEach((node) => {
      const box = node.getBoundingClientRect();
      const isLeft = box.right <= centre.left;
      const fromX = (isLeft ? box.right : box.left) - frame.left;
      const toX = (isLeft ? centre.left : centre.right) - frame.left;
      const fromY = box.top + box.height / 2 - frame.top;
      const half = (fromX + toX) / 2;
      edges.append(makeSvg("path",
        { d: `M${fromX},${fromY} C${half},${fromY} ${half},${middle} ${toX},${middle}` }));
    });
    neighbours.prepend(edges);
  }

  function markChosen() {
    document.querySelectorAll(".tile.chosen").forEach((tile) => tile.classList.remove("chosen"));
    if (chosen === null) return;
    document.querySelectorAll(`.tile[data-at="${chosen}"]`).forEach((tile) =>
      tile.classList.add("chosen"));
  }

  /** Return paths whose names hold `word`, those that begin with it first, at most `most`. */
  function findPaths(word, most) {
    const wanted = word.trim().toLowerCase();
    const found = [[], []];
    if (wanted)
      data.paths.forEach((path, at) => {
        const place = `${path.name} ${path.hash}`.toLowerCase().indexOf(wanted);
        if (place >= 0) found[place === 0 ? 0 : 1].push(at);
      });
    const bySize = (a, b) => data.paths[b].size - data.paths[a].size;
    return found.flatMap((group) => group.sort(bySize)).slice(0, most);
  }

  function startPath() {
    if (!hasReferences) return;
    byId("path").hidden = false;
    const input = byId("path-input");
    input.addEventListener("input", () => {
      byId("path-names").replaceChildren(...findPaths(input.value, MOST_NAMES).map((at) =>
        make("option", { value: data.paths[at].name })));
    });
    byId("path-form").addEventListener("submit", (event) => {
      event.preventDefault();
      const [at] = findPaths(input.value, 1);
      if (at !== undefined) choose(at);
      else byId("path-figure").replaceChildren(make("p", {}, `No path has “${input.value}” in its name.`));
    });
    drawToWidth(byId("path-figure"), drawEdges);
    // Begin with the root that refers to most, or with the largest path.
    const weight = (at) => (hasRoots ? data.paths[at].references.length : data.paths[at].size);
    const candidates = hasRoots ? Object.keys(data.roots).map(Number) : [...data.paths.keys()];
    choose(candidates.reduce((best, at) => (weight(at) > weight(best) ? at : best)),
      { scroll: false });
  }

  // ---- Tables -----------------------------------------------------------------------------------

  const ROWS_AT_FIRST = 50;
  const ROWS_MORE = 200;

  function compare(one, other) {
    if (one === other) return 0;
    // What is empty comes last, in whichever order.
    if (one === null) return 1;
    if (other === null) return -1;
    if (typeof one === "number" && typeof other === "number") return one - other;
    return String(one).localeCompare(String(other), "en", { numeric: true });
  }

  function startTable(section) {
    const { columns, rows } = data.tables[section.id];
    const body = section.querySelector("tbody");
    const bar = section.querySelector(".bar");
    const count = bar.querySelector(".count");
    const input = make("input", { type: "search", autocomplete: "off", spellcheck: "false" });
    const more = make("button", { type: "button", class: "more" });
    const texts = rows.map((row) =>
      columns.map((column, at) => formatCell(column.kind, row[at])).join("\n").toLowerCase());
    let order = rows.map((_, at) => at);
    let shown = ROWS_AT_FIRST;

    const draw = () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      const found = order.filter((at) => words.every((word) => texts[at].includes(word)));
      body.replaceChildren(...found.slice(0, shown).map((at) => make("tr", {},
        ...columns.map((column, place) => cell(column, rows[at][place])))));
      count.textContent = found.length === rows.length
        ? formatCount(rows.length, "row") : `${found.length} of ${formatCount(rows.length, "row")}`;
      more.hidden = found.length <= shown;
      more.textContent = `Show ${Math.min(ROWS_MORE, found.length - shown)} more`;
    };
    const cell = (column, value) => {
      const isLink = column.kind === "path" && hasReferences && value !== null;
      return make("td", column.class ? { class: column.class } : {},
        isLink ? pathButton(value, "link") : formatCell(column.kind, value));
    };

    section.querySelectorAll("th").forEach((header, place) => {
      const button = make("button", { type: "button" }, header.textContent);
      header.replaceChildren(button);
      button.addEventListener("click", () => {
        const isNumber = ["size", "percent", "difference", "number"].includes(columns[place].kind);
        const before = header.getAttribute("aria-sort");
        const isUp = before ? before === "descending" : !isNumber;
        section.querySelectorAll("th").forEach((each) => each.removeAttribute("aria-sort"));
        header.setAttribute("aria-sort", isUp ? "ascending" : "descending");
        const key = (at) => columns[place].kind === "path" && rows[at][place] !== null
          ? data.paths[rows[at][place]].name : rows[at][place];
        order.sort((a, b) => {
          const way = compare(key(a), key(b));
          const isEmpty = key(a) === null || key(b) === null;
          return (isUp || isEmpty ? way : -way) || a - b;
        });
        draw();
      });
    });
    // From row to row, in the same column.
    body.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (!step) return;
      const at = event.target.closest("td").cellIndex;
      const row = event.target.closest("tr");
      const next = step > 0 ? row.nextElementSibling : row.previousElementSibling;
      next?.cells[at].querySelector("button")?.focus();
      event.preventDefault();
    });
    input.addEventListener("input", () => {
      shown = ROWS_AT_FIRST;
      draw();
    });
    more.addEventListener("click", () => {
      const first = shown;
      shown += ROWS_MORE;
      draw();
      body.rows[first].querySelector("button")?.focus();
    });
    count.setAttribute("role", "status");
    bar.prepend(make("label", {}, "Filter", input));
    section.querySelector(".rest")?.remove();
    section.append(more);
    draw();
  }

  startMap();
  startCosts();
  startPath();
  document.querySelectorAll("section.table").forEach((section) => {
    if (section.id in data.tables) startTable(section);
  });
})();
