// The leaderboard: one body per group, each sorted by itself, because nats of two groups cannot be compared.
const PAGE = 25, LEAST = 5; // rows shown at first of all groups, and of each
const USUAL = ["nll", "bits_per_dim", "elbo", "rate", "distortion", "active_units", "fid_clf:prior", "kid_clf:prior", "parameters", "images_per_second", "peak_memory_mb"];
const STATES = { finished: "finished", running: "running", queued: "queued", failed: "failed", interrupted: "interrupted", pruned: "pruned", dead: "dead", broken: "broken" };

const usual = () => USUAL.filter((name) => metricOf(name));
const shownMetrics = () => DATA.metrics.filter((metric) => state.columns.includes(metric.name));
const statesOf = (row) => new Set(row.runs.map((run) => run[2]));
function matches(row) {
  const group = DATA.groups[row.group], words = state.search.toLowerCase().split(/\s+/).filter(Boolean);
  const hay = `${row.label} ${row.variant} ${cardOf(row).family} ${cardOf(row).paper} ${group.title} ${row.flags.join(" ")} ${row.key}`.toLowerCase();
  return words.every((word) => hay.includes(word)) && (!state.dataset || group.dataset === state.dataset) &&
    (!state.likelihood || group.likelihood === state.likelihood) && (!state.family || cardOf(row).family === state.family) &&
    (!state.state || statesOf(row).has(state.state));
}
const filtered = () => DATA.rows.filter(matches);

function sorted(rows) {
  const by = state.sort, sign = state.down ? -1 : 1;
  const value = by === "label" ? (row) => row.label : by === "n" ? (row) => row.n : (row) => meanOf(row, by);
  const text = (a, b) => collator.compare(a.label, b.label);
  return [...rows].sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    if (x === null || y === null) return (x === null) - (y === null) || text(a, b);
    const distrust = metricIndex(by) >= 0 ? !trusted(a, by) - !trusted(b, by) : 0;
    return distrust || sign * (typeof x === "string" ? text(a, b) : x - y) || text(a, b);
  });
}

function drawLeaderboard(section) {
  const lead = "Each group is ranked by itself: nats of different data or likelihoods cannot be compared. Bold is the best mean, " +
    "≈ is not significantly worse (paired t-test over three or more common seeds, 5 %); ↓ means that lower is better, ↑ higher. A loss is not a metric here: each variant minimises its own.";
  if (!section.querySelector(".filters")) {
    heading(section, [columnMenu()], lead);
    section.append(filters(), element("div", { class: "box", tabIndex: 0, role: "region", "aria-label": "Leaderboard, scrolls sideways" }),
      element("p", { class: "note", id: "leaderboard-note" }));
  }
  const rows = filtered();
  section.querySelector(".box").replaceChildren(leaderboard(rows));
  const hidden = DATA.rows.length - rows.length;
  section.querySelector(".note").textContent = `${plural(rows.length, "configuration")}${hidden ? `, ${hidden} filtered out` : ""}. ` +
    "Values are mean ± standard deviation over n finished runs; n=1 beside a value: only one of them has it. * is not to be trusted; open the row's name for the reason.";
}
const leaderboardChanged = () => { refresh(["leaderboard", "parallel", "plane"]); };

function filters() {
  const options = (values) => [["", "all"], ...[...new Set(values)].filter(Boolean).sort().map((value) => [value, value])];
  const menus = [
    ["Data", "dataset", DATA.groups.map((group) => group.dataset)], ["Likelihood", "likelihood", DATA.groups.map((group) => group.likelihood)],
    ["Family", "family", Object.values(DATA.variants).map((card) => card.family)], ["State", "state", DATA.rows.flatMap((row) => [...statesOf(row)])],
  ];
  const search = element("input", { type: "search", placeholder: "Filter by name, paper, flag …", value: state.search, "aria-label": "Filter rows by text",
    oninput: (event) => { state.search = event.target.value; leaderboardChanged(); say(plural(filtered().length, "row")); } });
  return element("div", { class: "filters" }, search,
    menus.map(([label, name, values]) => [label, name, options(values)]).filter(([, name, values]) => values.length > 2 || state[name])
      .map(([label, name, values]) => select(label, name, values, leaderboardChanged)));
}
function columnMenu() {
  const boxes = DATA.metrics.map((metric) => element("label", { class: "tick" },
    element("input", { type: "checkbox", checked: state.columns.includes(metric.name), onchange: (event) => {
      state.columns = state.columns.filter((name) => name !== metric.name);
      if (event.target.checked) state.columns.push(metric.name);
      refresh(["leaderboard"]);
    } }), element("span", {}, says(metric))));
  return element("details", { class: "menu" }, element("summary", { class: "quiet" }, "Columns"), element("div", { role: "group", "aria-label": "Columns" }, boxes));
}

function leaderboard(rows) {
  const metrics = shownMetrics();
  const head = element("tr", {}, header("label", "Configuration", "", "left stick"), header("n", "n", "runs"),
    metrics.map((metric) => header(metric.name, headOf(metric), metric.unit === "1/s" ? "" : metric.unit)));
  const table = element("table", {}, element("caption", { class: "unseen" }, "Configurations and their metrics"), element("thead", {}, head));
  for (const [index, members] of byGroup(rows)) table.append(body(index, sorted(members), metrics));
  if (!rows.length) table.append(element("tbody", {}, element("tr", {}, element("td", { class: "left", colSpan: metrics.length + 2 }, "No row passes the filters."))));
  return table;
}
function header(name, label, unit, kind = "") {
  const active = state.sort === name, metric = metricOf(name);
  const press = () => {
    state.down = active ? !state.down : Boolean(metric && metric.better !== "lower");
    state.sort = name;
    refresh(["leaderboard"]);
  };
  return element("th", { class: kind, scope: "col", "aria-sort": active ? (state.down ? "descending" : "ascending") : "none" },
    element("button", { type: "button", class: "sort", "data-focus": `sort-${name}`, onclick: press }, element("span", {}, label), unit ? element("small", {}, unit) : null));
}
function body(index, rows, metrics) {
  const rivals = metrics.map((metric) => DATA.rows.filter((row) => row.group === index && meanOf(row, metric.name) !== null).length);
  const limit = state.limits[index] || Math.max(LEAST, Math.floor(PAGE / DATA.groups.length)), rest = rows.length - limit;
  const title = element("span", {}, groupTitle(index), element("small", {}, plural(rows.length, "configuration")));
  const made = element("tbody", {}, element("tr", { class: "group" }, element("th", { colSpan: metrics.length + 2, scope: "rowgroup" }, title)));
  made.append(...rows.slice(0, limit).map((row) => line(row, metrics, DATA.groups[index].best, rivals)));
  if (rest > 0) {
    const grow = (by) => () => { state.limits[index] = limit + by; refresh(["leaderboard"]); };
    made.append(element("tr", {}, element("td", { class: "more", colSpan: metrics.length + 2 },
      element("button", { type: "button", class: "quiet", "data-focus": `more-${index}`, onclick: grow(PAGE) }, `${Math.min(PAGE, rest)} more`),
      element("button", { type: "button", class: "quiet", "data-focus": `all-${index}`, onclick: grow(rest) }, `All ${rows.length.toLocaleString("en")}`))));
  }
  return made;
}
function line(row, metrics, best, rivals) {
  const chosen = state.chosen.includes(row.key), card = cardOf(row);
  const name = element("div", { class: "row" },
    element("input", { type: "checkbox", checked: chosen, "data-focus": row.key, "aria-label": `Select ${row.label}`, onchange: () => toggle(row.key) }),
    swatch(row), element("button", { type: "button", class: "name", title: row.label, onclick: () => about(row) }, element("b", {}, row.variant), row.name.slice(row.variant.length)),
    card.url ? element("a", { href: card.url, target: "_blank", rel: "noreferrer", title: card.paper, "aria-label": `Paper of ${row.variant}: ${card.paper}` }, "paper") : null);
  return element("tr", { class: chosen ? "chosen" : "", "data-key": row.key }, element("td", { class: "stick" }, name, row.flags.length ? element("div", { class: "flags" }, row.flags.map((flag) => element("span", { class: "flag" }, flag))) : null),
    element("td", {}, row.n === row.runs.length ? String(row.n) : `${row.n}/${row.runs.length}`),
    metrics.map((metric, index) => cell(row, metric, best[metric.name], rivals[index])));
}
function cell(row, metric, best, rivals) {
  const values = valuesOf(row, metric.name), sd = spread(values);
  if (!values.length) return element("td", { title: row.reasons[metric.name] || "" }, element("small", {}, "–"));
  const places = decimalsOf(metric.name), write = (value) => (Math.abs(value) >= 1e9 ? number(value) : fixed(value, places));
  const shown = write(mean(values)), first = best && best[0] === row.key && rivals > 1;
  const some = values.length < row.n ? row.partly[metric.name] || "some runs have no such value" : "";
  return element("td", { title: trusted(row, metric.name) ? some : row.reasons[metric.name] }, first ? element("b", {}, shown) : shown,
    !sd ? null : element("small", {}, ` ± ${write(sd)}`), some ? element("small", {}, ` n=${values.length}`) : null, best && best[1].includes(row.key) ? " ≈" : null, trusted(row, metric.name) ? null : " *");
}

// What is known of one row: its runs, why numbers are missing, and its variant's page.
function about(row) {
  const card = cardOf(row), missing = Object.entries(row.reasons);
  const runs = element("table", { class: "wrap" }, element("thead", {}, element("tr", {}, ["Seed", "State", "Folder", "Reason"].map((name) => element("th", { scope: "col" }, name)))),
    element("tbody", {}, row.runs.map(([path, seed, how, reason]) => element("tr", {}, element("td", {}, String(seed)), element("td", {}, STATES[how] || how), element("td", {}, element("code", {}, path)), element("td", {}, reason || "")))));
  const byReason = new Map();
  for (const [name, reason] of [...missing, ...Object.entries(row.partly)]) byReason.set(reason, [...(byReason.get(reason) || []), metricOf(name)?.label || name]);
  open(element("div", {},
    dialogHead(row.label),
    card.paper ? element("p", {}, card.url ? element("a", { href: card.url, target: "_blank", rel: "noreferrer" }, card.paper) : card.paper, ` · ${[card.family, card.status].filter(Boolean).join(", ")}`) : null,
    row.flags.length ? element("p", {}, row.flags.map((flag) => element("span", { class: "flag" }, flag))) : null,
    element("h3", {}, "Runs"), element("div", { class: "box", tabIndex: 0, role: "region", "aria-label": "Runs" }, runs),
    byReason.size ? element("h3", {}, "Why numbers are missing or not to be trusted") : null,
    byReason.size ? element("ul", {}, [...byReason].map(([reason, names]) => element("li", {}, `${names.join(", ")}: ${reason}`))) : null,
    element("h3", {}, "The variant"), element("pre", {}, card.text || "")));
}
function dialogHead(title) {
  return element("div", { class: "head" }, element("h2", { id: "about-title" }, title),
    element("button", { type: "button", class: "quiet", onclick: () => document.getElementById("about").close() }, "Close"));
}
function open(content) {
  const dialog = document.getElementById("about");
  dialog.replaceChildren(content);
  dialog.showModal();
  dialog.scrollTop = 0;
}
panels.push({ id: "leaderboard", draw: drawLeaderboard });
