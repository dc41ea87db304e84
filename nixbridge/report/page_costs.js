// What an update costs, by strategy and number of layers: curves.

// How the strategies are told apart without colour: the image's own has a thick line and circles,
// each other one a dash pattern and the outline of its marks.
const OTHER_STYLES = [
  { dash: "7 4", mark: (x, y) => `M${x - 3},${y - 3}h6v6h-6z` },
  { dash: "2 3", mark: (x, y) => `M${x},${y - 4}l4,7h-8z` },
  { dash: "11 3 2 3", mark: (x, y) => `M${x},${y - 4.5}l4.5,4.5l-4.5,4.5l-4.5,-4.5z` },
  { dash: "4 2", mark: (x, y) => `M${x},${y + 4}l4,-7h-8z` },
  { dash: "1 3", mark: (x, y) => `M${x - 4},${y - 2}h8v4h-8z` },
  { dash: "14 4", mark: (x, y) => `M${x - 2},${y - 4}h4v8h-4z` },
];
const OWN_STYLE = { dash: "none", mark: (x, y) => `M${x - 3},${y}a3,3 0 1,1 6,0a3,3 0 1,1 -6,0z` };
// In pixels.
const NARROW = 560;
const MARGIN = { left: 62, right: 16, top: 30, bottom: 44 };
const LEAST_TICK_GAP = 28;
const LABEL_ROOM = 24;
const LAYER_TICKS = [1, 2, 3, 4, 5, 7, 10, 15, 20, 30, 40, 60, 80, 100, 127];

function styleOf(curve) {
  const others = data.costs.curves.filter((each) => !each.own);
  return curve.own ? OWN_STYLE : OTHER_STYLES[others.indexOf(curve) % OTHER_STYLES.length];
}

function curveLine(curve, points) {
  return makeSvg("polyline", { class: curve.own ? "curve own" : "curve",
    "stroke-dasharray": styleOf(curve).dash,
    points: points.map((point) => point.join(",")).join(" ") });
}

function curveMark(curve, [x, y]) {
  return makeSvg("path", { class: curve.own ? "mark own" : "mark", d: styleOf(curve).mark(x, y) });
}

/** Return what a curve says of plans of at most `count` layers, null if nothing. */
function costAt(curve, count) {
  const points = curve.points.filter(([layers]) => layers <= count);
  return points.length ? points.at(-1)[1] : null;
}

/** Return the numbers of layers that there is a plan for, in order. */
function layerCounts() {
  const { curves, own } = data.costs;
  const all = curves.flatMap((curve) => curve.points.map(([layers]) => layers));
  return [...new Set([...all, own.layers])].sort((a, b) => a - b);
}

/** Return about four round numbers, from 0 up to `most`. */
function niceTicks(most) {
  const rough = most / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((each) => each * power).find((each) => each >= rough);
  return Array.from({ length: Math.floor(most / step) + 1 }, (_, at) => at * step);
}

/** Return where things are in a chart of that size: `x` of layers, `y` of bytes, and its edges. */
function chartPlaces(width, height) {
  const { curves, own } = data.costs;
  const counts = layerCounts();
  const least = counts[0];
  const most = counts.at(-1);
  const mostBytes = Math.max(own.cost,
    ...curves.flatMap((curve) => curve.points.map(([, cost]) => cost)));
  const spread = Math.log(most / least) || 1;
  const edges = { left: MARGIN.left, right: width - MARGIN.right, top: MARGIN.top,
    bottom: height - MARGIN.bottom };
  return {
    ...edges, width, height, least, most, mostBytes,
    x: (layers) => edges.left + (Math.log(layers / least) / spread) * (edges.right - edges.left),
    y: (bytes) => edges.bottom - (bytes / mostBytes) * (edges.bottom - edges.top),
  };
}

function chartLine(cls, x1, y1, x2, y2) {
  return makeSvg("line", { class: cls, x1, y1, x2, y2 });
}

function chartText(cls, x, y, anchor, words) {
  return makeSvg("text", { class: cls, x, y, "text-anchor": anchor }, words);
}

/** Return the numbers of layers that have a tick; none is too near to the one before it. */
function layerTicks({ x, least, most }) {
  const ticks = [];
  for (const tick of LAYER_TICKS.filter((each) => least <= each && each <= most))
    if (!ticks.length || x(tick) - x(ticks.at(-1)) >= LEAST_TICK_GAP) ticks.push(tick);
  return ticks;
}

function chartAxes(places) {
  const { x, y, left, right, bottom, height, mostBytes } = places;
  const { floor } = data.costs;
  const bytes = niceTicks(mostBytes).flatMap((tick) => [
    chartLine(tick ? "grid" : "axis", left, y(tick), right, y(tick)),
    chartText("", left - 8, y(tick) + 4, "end", formatSize(tick)),
  ]);
  const layers = layerTicks(places).flatMap((tick) => [
    chartLine("axis", x(tick), bottom, x(tick), bottom + 5),
    chartText("", x(tick), bottom + 19, "middle", String(tick)),
  ]);
  return [
    ...bytes,
    ...layers,
    chartText("", 0, 14, "start", "sent by an update"),
    chartText("", (left + right) / 2, height - 6, "middle",
      "layers of the image, on a logarithmic scale"),
    chartLine("floor", left, y(floor), right, y(floor)),
    chartText("name", left + 4, y(floor) - 6, "start", `floor ${formatSize(floor)}`),
  ];
}

function chartCurve(curve, places) {
  const points = curve.points.map(([layers, cost]) => [places.x(layers), places.y(cost)]);
  return [curveLine(curve, points), ...points.map((point) => curveMark(curve, point)),
    ...curveName(curve, points, places)];
}

/** Name a curve where it has most room above it; in a narrow chart, the legend must do. */
function curveName(curve, points, { x, y, top, right, width }) {
  if (width < NARROW) return [];
  const room = curve.points.map(([layers, cost]) => Math.min(y(cost) - top, ...data.costs.curves
    .filter((other) => other !== curve && costAt(other, layers) !== null)
    .map((other) => y(cost) - y(costAt(other, layers)))
    .map((gap) => (gap < -1 ? Infinity : gap))));
  const inner = room.slice(1, -1);
  const best = room.indexOf(Math.max(...inner), 1);
  if (!inner.length || room[best] < LABEL_ROOM) return [];
  const isRight = points[best][0] > right - 100;
  return [chartText(curve.own ? "name own" : "name", points[best][0] + (isRight ? -6 : 6),
    points[best][1] - 8, isRight ? "end" : "start", curve.name)];
}

function chartOwnPlan({ x, y, right }) {
  const { own, floor } = data.costs;
  const isRight = x(own.layers) > right - 84;
  // Below the curve, where others seldom are, unless the floor is there.
  const isBelow = y(floor) - y(own.cost) > LABEL_ROOM;
  return [
    makeSvg("circle", { class: "here", cx: x(own.layers), cy: y(own.cost), r: 5 }),
    chartText("name own", x(own.layers) + (isRight ? -8 : 8), y(own.cost) + (isBelow ? 18 : -9),
      isRight ? "end" : "start", "this plan"),
  ];
}

/** Say what an update costs with so many layers, and how many of them are up to the user. */
function costWords(count) {
  const { curves, fixed } = data.costs;
  const told = curves.map((curve) => [curve.name, costAt(curve, count)])
    .filter(([, cost]) => cost !== null)
    .map(([name, cost]) => `${name} ${formatSize(cost)}`);
  const part = fixed ? `, ${count - fixed} of them the image's own part` : "";
  return `${formatCount(count, "layer")}${part}: ${told.join(", ")}`;
}

/** Let keys and the pointer move a cursor from count to count, and tell what stands there. */
function operateCursor(plot, cursor, { x }) {
  const counts = layerCounts();
  let at = counts.indexOf(data.costs.own.layers);
  const moveTo = (index) => {
    at = Math.max(0, Math.min(counts.length - 1, index));
    const words = costWords(counts[at]);
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
    moveTo(moves[event.key]);
  });
  const follow = (event) => {
    const offset = event.clientX - plot.getBoundingClientRect().left;
    const gaps = counts.map((count) => Math.abs(x(count) - offset));
    moveTo(gaps.indexOf(Math.min(...gaps)));
  };
  plot.addEventListener("pointermove", follow);
  plot.addEventListener("pointerdown", follow);
  moveTo(at);
}

function drawCosts() {
  const figure = byId("cost-figure");
  const hadFocus = figure.contains(document.activeElement);
  const width = figure.clientWidth;
  const places = chartPlaces(width, width < NARROW ? 280 : 360);
  const cursor = chartLine("cursor", 0, places.top, 0, places.bottom);
  // The plan's own strategy is drawn last, so that it lies on top.
  const curves = [...data.costs.curves].sort((a, b) => a.own - b.own);
  const chart = makeSvg("svg", { class: "chart",
    viewBox: `0 0 ${width} ${places.height}`, "aria-hidden": "true" },
    ...chartAxes(places), ...curves.flatMap((curve) => chartCurve(curve, places)),
    ...chartOwnPlan(places), cursor);
  const plot = make("div", { role: "slider", tabindex: "0", "aria-label": "Number of layers",
    "aria-valuemin": places.least, "aria-valuemax": places.most }, chart);
  operateCursor(plot, cursor, places);
  figure.replaceChildren(plot);
  if (hadFocus) plot.focus();
}

function startCosts() {
  // An image without a file costs nothing.
  if (!data.costs || !data.costs.floor) return;
  byId("cost").hidden = false;
  const { curves, fixed } = data.costs;
  byId("cost-legend").append(...curves.map((curve) => {
    const sample = makeSvg("svg", { class: "sample chart", viewBox: "0 0 36 12",
      "aria-hidden": "true" }, curveLine(curve, [[0, 6], [36, 6]]), curveMark(curve, [18, 6]));
    return make("li", {}, sample, curve.name);
  }));
  if (fixed)
    byId("cost-fixed").textContent = `${fixed} of the layers are there in any plan: those of the `
      + "base image, explicit ones, and the Nix database. max_layers counts the others, the "
      + "image's own part.";
  drawToWidth(byId("cost-figure"), drawCosts);
}
