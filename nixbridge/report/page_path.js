// A store path between what refers to it and what it refers to.

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

/** Return how many paths a path needs, itself included, and their size. */
function closureSize(target) {
  const seen = new Set([target]);
  for (const at of seen) data.paths[at].references.forEach((to) => seen.add(to));
  return [seen.size, sum([...seen].map((at) => data.paths[at].size))];
}

function pathButton(at, cls) {
  const path = data.paths[at];
  const button = make("button", { type: "button", class: cls }, make("span", {}, path.title));
  if (cls === "node") button.append(make("span", { class: "size" }, formatSize(path.size)));
  button.addEventListener("click", () => choose(at, { focus: true }));
  return button;
}

function neighbourList(title, neighbours) {
  const ordered = [...neighbours].sort((a, b) => data.paths[b].size - data.paths[a].size);
  const list = make("ul");
  const show = (shown) => {
    list.replaceChildren(...shown.map((at) => make("li", {}, pathButton(at, "node"))));
  };
  show(ordered.slice(0, MOST_NEIGHBOURS));
  if (ordered.length > MOST_NEIGHBOURS) {
    const more = make("button", { type: "button", class: "link" },
      `and ${ordered.length - MOST_NEIGHBOURS} more`);
    more.addEventListener("click", () => {
      show(ordered);
      list.querySelectorAll("button")[MOST_NEIGHBOURS].focus();
      drawEdges();
    });
    list.append(make("li", {}, more));
  }
  return make("div", {}, make("h3", {}, `${title} (${ordered.length})`), list);
}

function chainText(chain) {
  return make("p", { class: "chain" }, "The shortest way to it: ",
    ...chain.flatMap((at, index) => [...(index ? [" → "] : []), pathButton(at, "link")]));
}

/** Show a path: what leads to it, what is said of it, and its neighbours. */
function choose(at, { focus = false, scroll = true } = {}) {
  chosen = at;
  const path = data.paths[at];
  const [closureCount, closureBytes] = closureSize(at);
  const where = layersOf[at].map((layer) => `layer ${layer.number}: ${layer.reason}`);
  const chain = hasRoots ? chainTo(at) : [at];
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
    make("p", { class: "name" }, path.title),
    ...facts.map((fact) => make("p", {}, fact)),
    make("p", { class: "path" }, `${data.storeDirectory}/${path.path}`));
  const neighbours = make("div", { class: "neighbours" },
    neighbourList("refers to it", referrers[at]), centre,
    neighbourList("it refers to", path.references));
  byId("path-figure").replaceChildren(...(chain.length > 1 ? [chainText(chain)] : []), neighbours);
  byId("path-input").value = path.title;
  byId("path-status").textContent = "";
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

/** Put a frame around the tiles of the path that is shown. */
function markChosen() {
  document.querySelectorAll(".tile.chosen").forEach((tile) => tile.classList.remove("chosen"));
  if (chosen === null) return;
  document.querySelectorAll(`.tile[data-at="${chosen}"]`).forEach((tile) =>
    tile.classList.add("chosen"));
}

/** Return the paths whose names hold `word`: those that begin with it first, then by size. */
function findPaths(word) {
  const wanted = word.toLowerCase();
  const found = [[], []];
  data.paths.forEach((path, at) => {
    const place = `${path.title} ${path.path}`.toLowerCase().indexOf(wanted);
    if (place >= 0) found[place === 0 ? 0 : 1].push(at);
  });
  const bySize = (a, b) => data.paths[b].size - data.paths[a].size;
  return found.flatMap((group) => group.sort(bySize));
}

function startPath() {
  if (!hasReferences) return;
  byId("path").hidden = false;
  const input = byId("path-input");
  input.addEventListener("input", () => {
    const found = findPaths(input.value.trim()).slice(0, MOST_NAMES);
    byId("path-names").replaceChildren(...found.map((at) =>
      make("option", { value: data.paths[at].title })));
  });
  byId("path-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const wanted = input.value.trim();
    if (!wanted) return;
    const found = findPaths(wanted);
    if (found.length) choose(found[0]);
    if (found.length !== 1)
      byId("path-status").textContent = found.length
        ? `${found.length} names have “${wanted}” in them; this is the first.`
        : `No path has “${wanted}” in its name.`;
  });
  drawToWidth(byId("path-figure"), drawEdges);
  // Begin with the root that refers to most, or with the largest path.
  const weight = (at) => (hasRoots ? data.paths[at].references.length : data.paths[at].size);
  const candidates = hasRoots ? Object.keys(data.roots).map(Number) : [...data.paths.keys()];
  choose(candidates.reduce((best, at) => (weight(at) > weight(best) ? at : best)),
    { scroll: false });
}
