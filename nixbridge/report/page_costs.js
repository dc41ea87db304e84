// What an update costs, by strategy and number of layers: curves.

const DASHES = ["7 4", "2 3", "11 3 2 3", "4 2", "1 3", "14 4"];
const NARROW = 560; // pixels
const MARGIN = { left: 62, right: 16, top: 14, bottom: 44 };
const LAYER_TICKS = [1, 2, 5, 10, 20, 40, 60, 80, 127, 200, 500];

function dashOf(curve) {
  const others = data.costs.curves.filter((each) => !each.own);
  return curve.own ? "none" : DASHES[others.indexOf(curve) % DASHES.length];
}

/** Return what a curve says of plans of at most `count` layers, null if nothing. */
function costAt(curve, count) {
  const points = curve.points.filter(([layers]) => layers <= count);
  return points.length ? points[points.length - 1][1] : null;
}

/** Return the numbers of layers that there is a plan for, in order. */
function layerCounts() {
  const { curves, own } = data.costs;
  const all = curves.flatMap((curve) => curve.points.map(([layers]) => layers));
  return [...new Set([...all, own.layers])].sort((a, b) => a - b);
}

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
  const most = counts[counts.length - 1];
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

function chartAxes({ x, y, left, right, bottom, height, least, most, mostBytes }) {
  const { floor } = data.costs;
  const bytes = niceTicks(mostBytes).flatMap((tick) => [
    chartLine(tick ? "grid" : "axis", left, y(tick), right, y(tick)),
    chartText("", left - 8, y(tick) + 4, "end", formatSize(tick)),
  ]);
  const layers = LAYER_TICKS.filter((tick) => least <= tick && tick <= most).flatMap((tick) => [
    chartLine("axis", x(tick), bottom, x(tick), bottom + 5),
    chartText("", x(tick), bottom + 19, "middle", String(tick)),
  ]);
  return [
    ...bytes,
    ...layers,
    chartText("", (left + right) / 2, height - 6, "middle", "layers, on a logarithmic scale"),
    chartLine("floor", left, y(floor), right, y(floor)),
    chartText("name", left + 4, y(floor) - 6, "start", `floor ${formatSize(floor)}`),
  ];
}

function chartCurve(curve, { x, y, top }) {
  const { curves } = data.costs;
  const cls = curve.own ? " own" : "";
  const places = curve.points.map(([layers, cost]) => [x(layers), y(cost)]);
  const parts = [
    makeSvg("polyline", { class: `curve${cls}`, "stroke-dasharray": dashOf(curve),
      points: places.map((place) => place.join(",")).join(" ") }),
    ...places.map(([cx, cy]) => makeSvg("circle", { class: `dot${cls}`, cx, cy, r: 2.5 })),
  ];
  // Its name stands where the curve has most room above it, if it has enough anywhere.
  const room = curve.points.map(([layers, cost]) => Math.min(y(cost) - top, ...curves
    .filter((other) => other !== curve && costAt(other, layers) !== null)
    .map((other) => y(cost) - y(costAt(other, layers)))
    .map((gap) => (gap < -1 ? Infinity : gap))));
  const best = room.indexOf(Math.max(...room.slice(1, -1)));
  if (room[best] > 24)
    parts.push(chartText(`name${cls}`, places[best][0] + 6, places[best][1] - 8, "start",
      curve.name));
  return parts;
}

function chartOwnPlan({ x, y, right }) {
  const { own } = data.costs;
  const isRight = x(own.layers) > right - 84;
  return [
    makeSvg("circle", { class: "here", cx: x(own.layers), cy: y(own.cost), r: 5 }),
    chartText("name own", x(own.layers) + (isRight ? -9 : 9), y(own.cost) + (isRight ? 16 : -9),
      isRight ? "end" : "start", "this plan"),
  ];
}

/** Let keys and the pointer move a cursor from count to count, and tell what stands there. */
function operateCursor(plot, cursor, { x }) {
  const { curves, own } = data.costs;
  const counts = layerCounts();
  let at = counts.indexOf(own.layers);
  const moveTo = (index) => {
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
    moveTo(moves[event.key]);
  });
  plot.addEventListener("pointermove", (event) => {
    const offset = event.clientX - plot.getBoundingClientRect().left;
    const gaps = counts.map((count) => Math.abs(x(count) - offset));
    moveTo(gaps.indexOf(Math.min(...gaps)));
  });
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
  const chart = makeSvg("svg", { class: "chart", width, height: places.height,
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
  byId("cost-legend").append(...data.costs.curves.map((curve) => {
    const sample = makeSvg("svg", { class: "sample chart", viewBox: "0 0 36 12" },
      makeSvg("line", { class: curve.own ? "curve own" : "curve", x1: 0, y1: 6, x2: 36, y2: 6,
        "stroke-dasharray": dashOf(curve) }));
    return make("li", {}, sample, curve.name);
  }));
  drawToWidth(byId("cost-figure"), drawCosts);
}
