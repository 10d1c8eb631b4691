// State of the page, and small things that every panel needs.
const text = (id) => document.getElementById(id).textContent;
let DATA = JSON.parse(text("data"));
let THUMBNAILS = null;
const thumbnails = () => (THUMBNAILS ??= JSON.parse(text("thumbnails")));

const state = { chosen: [], sort: "", down: false, search: "", dataset: "", likelihood: "", family: "", state: "",
  columns: [], term: "", log: false, zoom: false, picture: "reconstructions", colour: "", axes: [], limits: {} };
const SHARED = ["sort", "down", "search", "dataset", "likelihood", "family", "state", "columns", "term", "log", "zoom", "picture", "colour", "axes"];
let byKey = new Map();
const panels = []; // { id, draw }: draw fills the section and returns false where there is nothing to show

function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "class") made.className = value;
    else if (name in made && !name.startsWith("aria")) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

const formats = new Map(); // making one takes as long as using it a hundred times
function format(options) {
  const name = JSON.stringify(options);
  if (!formats.has(name)) formats.set(name, new Intl.NumberFormat("en", options));
  return formats.get(name);
}
const collator = new Intl.Collator("en", { numeric: true });
function number(value, digits = 4) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size >= 1e6) return `${number(value / 1e6, 3)} M`;
  if (size > 0 && size < 1e-3) return value.toExponential(1);
  const significant = Math.max(digits, Math.floor(Math.log10(size || 1)) + 1);
  return format({ maximumSignificantDigits: significant }).format(value).replace("-", "−");
}
const fixed = (value, decimals) => format({ minimumFractionDigits: decimals, maximumFractionDigits: decimals }).format(value).replace("-", "−");
const plural = (n, word) => `${n.toLocaleString("en")} ${word}${n === 1 ? "" : "s"}`;
const known = (values) => (values || []).filter((value) => value !== null);
const mean = (values) => (values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : null);
function spread(values) {
  if (values.length < 2) return null;
  const middle = mean(values);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - middle) ** 2, 0) / (values.length - 1));
}

let places = new Map(); // of the metrics
const metricIndex = (name) => places.get(name) ?? -1;
const metricOf = (name) => DATA.metrics[metricIndex(name)];
const valuesOf = (row, name) => known(row.values[metricIndex(name)] || []);
const meanOf = (row, name) => mean(valuesOf(row, name));
const trusted = (row, name) => !(name in row.reasons);
const cardOf = (row) => DATA.variants[row.variant] || {};
const colourOf = (row) => cardOf(row).colour || "#888888";
let decimals = new Map(); // of each metric, so that its column lines up
function decimalsOf(name) {
  if (!decimals.has(name)) {
    const means = DATA.rows.map((row) => meanOf(row, name)).filter((value) => value !== null), sizes = means.map(Math.abs).sort((a, b) => a - b);
    const middle = sizes[Math.floor(sizes.length / 2)] || 1;
    decimals.set(name, means.every(Number.isInteger) ? 0 : middle >= 1000 ? 0 : middle >= 10 ? 2 : Math.min(6, 3 - Math.floor(Math.log10(middle))));
  }
  return decimals.get(name);
}
const chosenRows = () => state.chosen.map((key) => byKey.get(key)).filter(Boolean);
const ENDS = { lower: "\u00a0↓", higher: "\u00a0↑" }; // as the tables of `vaezoo table` mark them
const headOf = (metric) => metric.label + (ENDS[metric.better] || "");
const says = (metric) => (metric.unit && metric.unit !== "1/s" ? `${metric.label} [${metric.unit}]` : metric.label);

// Rows of one variant share its colour; dashes and marks tell the chosen ones apart.
const DASHES = ["", "7 4", "2 3", "10 3 2 3", "1 5"];
function lookOf(row) {
  const kin = chosenRows().filter((other) => other.variant === row.variant || colourOf(other) === colourOf(row));
  const place = Math.max(0, kin.indexOf(row));
  return { colour: colourOf(row), dash: DASHES[place % DASHES.length], mark: place % 5 };
}

function choose(key, on) {
  state.chosen = state.chosen.filter((other) => other !== key);
  if (on) state.chosen.push(key);
  refresh();
}
const toggle = (key) => choose(key, !state.chosen.includes(key));

// -- the address keeps the state, so that a reload or a link shows the same -------------------------------------------

function remember() {
  const kept = new URLSearchParams();
  kept.set("rows", state.chosen.join("."));
  for (const name of SHARED) {
    if (name === "columns" && String(state.columns) === String(usual())) continue;
    const value = Array.isArray(state[name]) ? state[name].join(",") : state[name] === true ? "1" : state[name] || "";
    if (value) kept.set(name, value);
  }
  try { history.replaceState(null, "", `#${kept}`); } catch { /* a page without an address */ }
}
function recall() {
  const kept = new URLSearchParams(location.hash.slice(1));
  for (const name of SHARED) {
    if (!kept.has(name)) continue;
    const value = kept.get(name);
    state[name] = Array.isArray(state[name]) ? value.split(",") : typeof state[name] === "boolean" ? value === "1" : value;
  }
  return kept.has("rows") ? kept.get("rows").split(".") : null;
}
function setting(name) {
  try { return localStorage.getItem(name); } catch { return null; }
}
function keepSetting(name, value) {
  try { localStorage.setItem(name, value); } catch { /* a page opened from a mail may not store */ }
}
const say = (message) => { document.getElementById("said").textContent = message; };

// -- drawing: a panel is drawn when it is near the window ---------------------------------------------------------------

const near = new Set();
const stale = new Set();
function refresh(only = panels.map((panel) => panel.id)) {
  only.forEach((id) => stale.add(id));
  drawChips();
  drawNear();
  remember();
}
function drawNear(all = false) {
  for (const { id, draw } of panels) {
    if (!stale.has(id) || !(all || near.has(id))) continue;
    stale.delete(id);
    const section = document.getElementById(id);
    const focused = section.contains(document.activeElement) ? document.activeElement.dataset.focus : null;
    const shown = draw(section);
    section.classList.add("drawn");
    section.classList.toggle("empty", shown === false);
    if (focused) section.querySelector(`[data-focus="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  }
}
function heading(section, controls = [], lead = "") {
  const title = element("h2", { id: `${section.id}-title` }, section.dataset.title);
  section.setAttribute("aria-labelledby", title.id);
  const head = element("div", { class: "head" }, title, ...controls);
  section.replaceChildren(head, ...(lead ? [element("p", { class: "lead" }, lead)] : []));
}
function select(label, name, options, after) {
  const menu = element("select", { "data-focus": name, onchange: (event) => { state[name] = event.target.value; after(); } },
    options.map(([value, shown]) => element("option", { value, selected: value === state[name] }, shown)));
  return element("label", { class: "control" }, label, menu);
}
function byGroup(rows) {
  const found = new Map();
  for (const row of rows) found.set(row.group, [...(found.get(row.group) || []), row]);
  return [...found].sort((a, b) => a[0] - b[0]);
}
const groupTitle = (index) => DATA.groups[index].title;
