// Tables that sort and filter. Their rows are in the page already; these are the same, and more.

const ROWS_AT_FIRST = 50;
const ROWS_MORE = 200;
// A table of fewer rows is seen at once.
const ROWS_TO_FILTER = 8;
// Version 1.10 comes after 1.9.
const { compare: compareTexts } = new Intl.Collator("en", { numeric: true });
const NUMBERS = ["number", "size", "difference", "percent"];

/** Return what a row is sorted by in a column. */
function sortKey({ kind }, value) {
  return kind === "path" && value !== null ? data.paths[value].title : value;
}

function compareKeys(one, other) {
  if (typeof one === "number" && typeof other === "number") return one - other;
  return compareTexts(String(one), String(other));
}

/** Sort places of rows by a column; what is empty comes last in either order. */
function sortPlaces(places, keys, isUp) {
  places.sort((a, b) => {
    const [one, other] = [keys[a], keys[b]];
    if (one === null || other === null) return (one === null) - (other === null) || a - b;
    return (isUp ? 1 : -1) * compareKeys(one, other) || a - b;
  });
}

function tableCell(column, value) {
  const isLink = column.kind === "path" && hasReferences && value !== null;
  return make("td", column.class ? { class: column.class } : {},
    isLink ? pathButton(value, "link") : formatCell(column.kind, value));
}

/** Go from row to row in the same column, by the keys up and down. */
function walkRows(event) {
  const step = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
  if (!step) return;
  const next = event.target.closest("tr")[step];
  next?.cells[event.target.closest("td").cellIndex].querySelector("button")?.focus();
  event.preventDefault();
}

/** Make buttons of the titles; `onSort` is told of the column, and whether it goes up. */
function makeSortable(headers, columns, onSort) {
  headers.forEach((header, place) => {
    const button = make("button", { type: "button" }, header.textContent);
    header.replaceChildren(button);
    button.addEventListener("click", () => {
      const before = header.getAttribute("aria-sort");
      // Of numbers, the largest are of interest first.
      const isUp = before ? before === "descending" : !NUMBERS.includes(columns[place].kind);
      headers.forEach((each) => each.removeAttribute("aria-sort"));
      header.setAttribute("aria-sort", isUp ? "ascending" : "descending");
      onSort(place, isUp);
    });
  });
}

function startTable(section) {
  const { columns, rows } = data.tables[section.id];
  const body = section.querySelector("tbody");
  const bar = section.querySelector(".bar");
  const count = bar.querySelector(".count");
  const title = section.querySelector("h2").textContent;
  const input = make("input", { type: "search", autocomplete: "off", spellcheck: "false",
    "aria-label": `Filter ${title}` });
  const more = make("button", { type: "button", class: "more" });
  const texts = rows.map((row) =>
    columns.map((column, at) => formatCell(column.kind, row[at])).join("\n").toLowerCase());
  const order = rows.map((_, at) => at);
  let shown = ROWS_AT_FIRST;

  const draw = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = order.filter((at) => words.every((word) => texts[at].includes(word)));
    body.replaceChildren(...found.slice(0, shown).map((at) =>
      make("tr", {}, ...columns.map((column, place) => tableCell(column, rows[at][place])))));
    const all = formatCount(rows.length, "row");
    count.textContent = (found.length === rows.length ? all : `${found.length} of ${all}`)
      + (found.length > shown ? `, ${shown} shown` : "");
    more.hidden = found.length <= shown;
    more.textContent = `Show ${Math.min(ROWS_MORE, found.length - shown)} more`;
  };

  makeSortable(section.querySelectorAll("th"), columns, (place, isUp) => {
    sortPlaces(order, rows.map((row) => sortKey(columns[place], row[place])), isUp);
    draw();
  });
  body.addEventListener("keydown", walkRows);
  input.addEventListener("input", () => {
    shown = ROWS_AT_FIRST;
    draw();
  });
  more.addEventListener("click", () => {
    const first = shown;
    shown += ROWS_MORE;
    draw();
    body.rows[first]?.querySelector("button")?.focus();
  });
  count.setAttribute("role", "status");
  if (rows.length >= ROWS_TO_FILTER) bar.prepend(make("label", {}, "Filter", input));
  section.querySelector(".rest")?.remove();
  section.append(more);
  draw();
  // What scrolls can be scrolled by keyboard; what does not is no stop on the way of the Tab key.
  const scroll = section.querySelector(".scroll");
  drawToWidth(scroll, () => {
    scroll.tabIndex = scroll.scrollWidth > scroll.clientWidth ? 0 : -1;
  });
}
