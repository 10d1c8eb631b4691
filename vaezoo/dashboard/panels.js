// Panels of the chosen rows: what differs, learning curves, the rate-distortion plane, dimensions, codes, unfinished runs.
const NOTHING = "Select rows in the leaderboard to see them here.";

function drawDifferences(section) {
  const rows = chosenRows(), place = new Map(DATA.rows.map((row, index) => [row.key, index]));
  const shown = Object.entries(DATA.differences).map(([key, values]) => [key, rows.map((row) => values[place.get(row.key)])])
    .filter(([, values]) => new Set(values.map(String)).size > 1);
  heading(section, [], shown.length ? "Settings that are not the same in all selected rows; – where a row has no such setting." : "");
  if (rows.length < 2 || !shown.length) {
    section.append(element("p", { class: "note" }, rows.length < 2 ? "Select two rows or more to see what differs between them." : "The selected rows have the same settings."));
    return false;
  }
  const cellOf = (value) => element("td", {}, value === null ? "–" : element("code", {}, typeof value === "number" ? number(value, 5) : String(value)));
  section.append(element("div", { class: "box", tabIndex: 0, role: "region", "aria-label": "Differences, scrolls sideways" }, element("table", { class: "wrap" },
    element("thead", {}, element("tr", {}, element("th", { class: "stick", scope: "col" }, "Setting"), rows.map((row) => element("th", { scope: "col" }, row.label)))),
    element("tbody", {}, shown.map(([key, values]) => element("tr", {}, element("th", { class: "stick", scope: "row" }, settingName(key)), values.map(cellOf)))))));
}

function settingName(key) { // may break after a dot only
  return element("code", {}, key.split(".").flatMap((part, index, all) => (index < all.length - 1 ? [`${part}.`, element("wbr")] : [part])));
}

// -- learning curves ------------------------------------------------------------------------------------------------------

function drawCurves(section) {
  const rows = chosenRows(), has = new Set(rows.flatMap((row) => DATA.curves[row.key].flatMap((run) => Object.keys(run.y).map((index) => DATA.terms[index]))));
  const terms = [...has].sort((a, b) => a.split("/")[0].localeCompare(b.split("/")[0]) || a.localeCompare(b));
  if (!terms.length) return blank(section, rows.length ? "The selected rows have no learning curves." : NOTHING);
  if (!has.has(state.term)) state.term = ["val/elbo", "val/distortion", "train/distortion"].find((term) => has.has(term)) || terms[0];
  const log = element("label", { class: "tick" }, element("input", { type: "checkbox", checked: state.log, "data-focus": "log",
    onchange: (event) => { state.log = event.target.checked; refresh(["curves"]); } }), "logarithmic");
  heading(section, [select("Term", "term", terms.map((term) => [term, term]), () => refresh(["curves"])), log]);
  if (state.term.endsWith("/loss")) section.append(element("p", { class: "lead" }, "A loss is what a variant minimises; the losses of two variants are not comparable."));
  for (const [group, members] of byGroup(rows)) {
    const lines = members.flatMap((row) => linesOf(row, state.term));
    if (lines.length) section.append(curveChart(widthOf(section), lines, groupTitle(group)));
  }
  const none = rows.filter((row) => !linesOf(row, state.term).length);
  if (none.length) section.append(element("p", { class: "note" }, `Without ${state.term}: ${none.map((row) => row.label).join(", ")}.`));
  section.append(element("p", { class: "note" }, `One line per run, each of at most ${DATA.points} points.`));
}
function linesOf(row, term) {
  const index = DATA.terms.indexOf(term);
  return DATA.curves[row.key].flatMap((run, number) => {
    if (!(index in run.y)) return [];
    const [axis, values] = run.y[index];
    const points = run.x[axis].map((step, k) => [step, values[k]]).filter(([, value]) => value !== null && (!state.log || value > 0));
    return points.length ? [{ row, seed: row.runs[number][1], points }] : [];
  });
}
function curveChart(width, lines, title) {
  const height = Math.min(380, Math.max(240, width * 0.42)), all = lines.flatMap((line) => line.points);
  const log = state.log, svg = picture(width, height, `${state.term} over training steps, ${lines.length} runs. ${title}`);
  const { sx, sy, box } = frame(svg, { width, height, x: extent(all.map((point) => point[0]), { room: 0.01 }), y: extent(all.map((point) => point[1]), { log }), yLog: log, xLabel: "step", yLabel: state.term });
  const group = shape("g", { class: "lines" });
  for (const { row, points } of lines) {
    const { colour, dash, mark } = lookOf(row);
    group.append(shape("path", { d: trace(points.map(([x, y]) => [sx(x), sy(y)])), stroke: colour, "stroke-width": 2, "stroke-dasharray": dash, "data-row": row.key }));
    const [x, y] = points[points.length - 1];
    group.append(shape("path", { d: MARKS[mark](4), transform: `translate(${sx(x)} ${sy(y)})`, style: `fill:${colour}` }));
  }
  const cursor = shape("line", { class: "cursor", y1: box.top, y2: box.bottom, visibility: "hidden" });
  svg.append(group, cursor);
  const steps = [...new Set(all.map((point) => point[0]))].sort((a, b) => a - b);
  const readout = element("div", { class: "numbers" });
  const show = (step, moved) => {
    cursor.setAttribute("x1", sx(step)); cursor.setAttribute("x2", sx(step));
    cursor.setAttribute("visibility", moved ? "visible" : "hidden");
    readout.replaceChildren(readings(lines, step, moved));
  };
  const slider = element("input", { type: "range", min: 0, max: steps.length - 1, value: steps.length - 1, style: `width:${box.right - box.left + 14}px;margin-left:${box.left - 7}px`, "aria-label": `Step at which ${state.term} is read`,
    oninput: () => show(steps[slider.value], true) });
  svg.addEventListener("pointermove", (event) => {
    const step = box.left === box.right ? steps[0] : sx.domain[0] + ((event.offsetX - box.left) / (box.right - box.left)) * (sx.domain[1] - sx.domain[0]);
    let nearest = 0;
    steps.forEach((value, index) => { if (Math.abs(value - step) < Math.abs(steps[nearest] - step)) nearest = index; });
    slider.value = nearest;
    show(steps[nearest], true);
  });
  show(steps[steps.length - 1], false);
  return element("div", { class: "chart" }, element("h3", {}, title), svg, slider, readout);
}
function readings(lines, step, moved) {
  const rows = new Map();
  for (const { row, points } of lines) {
    const before = points.filter((point) => point[0] <= step);
    if (before.length) rows.set(row, [...(rows.get(row) || []), before[before.length - 1][1]]);
  }
  return element("ul", { class: "legend", "aria-label": moved ? `At step ${step}` : "At the end" }, element("li", {}, moved ? `step ${number(step)}` : "at the end"),
    [...rows].map(([row, values]) => element("li", {}, sample(row), `${row.label} `, element("b", {}, number(mean(values), 5)))));
}

// -- the rate-distortion plane ----------------------------------------------------------------------------------------------

function drawPlane(section) {
  const rows = chosenRows().filter((row) => meanOf(row, "rate") !== null && meanOf(row, "distortion") !== null);
  if (!rows.length) return blank(section, state.chosen.length ? "No selected row has both a rate and a distortion." : NOTHING);
  const zoom = element("label", { class: "tick" }, element("input", { type: "checkbox", checked: state.zoom, "data-focus": "zoom",
    onchange: (event) => { state.zoom = event.target.checked; refresh(["plane"]); } }), "only selected rows");
  heading(section, [zoom], "Left is a shorter code, down is a better reconstruction. Along a dotted line the evidence bound is the same; the labels say which. Grey rows are not selected: click one to add it.");
  for (const [group, members] of byGroup(rows)) {
    const others = state.zoom ? [] : filtered().filter((row) => row.group === group && !members.includes(row) && meanOf(row, "rate") !== null && meanOf(row, "distortion") !== null);
    section.append(planeChart(widthOf(section), members, others, groupTitle(group)));
  }
  const without = chosenRows().filter((row) => !rows.includes(row));
  if (without.length) section.append(element("p", { class: "note" }, `Without a rate: ${without.map((row) => row.label).join(", ")}.`));
}
function planeChart(width, rows, others, title) {
  const height = Math.min(480, Math.max(300, width * 0.5)), every = [...rows, ...others], at = (row) => [meanOf(row, "rate"), meanOf(row, "distortion")];
  const svg = picture(width, height, `Rate against distortion. ${title}`, "group");
  const near = focused(rows, others);
  const x = extent(near.map((row) => at(row)[0]), { room: 0.08, zero: !state.zoom }), y = extent(near.map((row) => at(row)[1]), { room: 0.08 });
  const { sx, sy, box } = frame(svg, { width, height, x, y, xLabel: "rate [nats]", yLabel: "distortion [nats]" });
  const taken = every.map((row) => [sx(at(row)[0]) - 6, sy(at(row)[1]) - 6, sx(at(row)[0]) + 6, sy(at(row)[1]) + 6]);
  const inside = (row) => at(row)[0] >= x[0] && at(row)[0] <= x[1] && at(row)[1] >= y[0] && at(row)[1] <= y[1];
  const dots = shape("g"), names = shape("g"), lines = shape("g");
  svg.append(lines, dots, names);
  for (const row of others.filter(inside)) dots.append(dot(row, sx(at(row)[0]), sy(at(row)[1]), false));
  for (const row of rows) {
    const [px, py] = [sx(at(row)[0]), sy(at(row)[1])], { colour } = lookOf(row);
    const [rs, ds] = [spread(valuesOf(row, "rate")) || 0, spread(valuesOf(row, "distortion")) || 0];
    if (rs) dots.append(shape("line", { x1: sx(at(row)[0] - rs), x2: sx(at(row)[0] + rs), y1: py, y2: py, stroke: colour, "stroke-width": 1.5 }));
    if (ds) dots.append(shape("line", { x1: px, x2: px, y1: sy(at(row)[1] - ds), y2: sy(at(row)[1] + ds), stroke: colour, "stroke-width": 1.5 }));
    dots.append(dot(row, px, py, true));
  }
  for (const row of rows) placed(names, row.label, sx(at(row)[0]), sy(at(row)[1]), taken, box);
  for (const sum of ticks(x[0] + y[0], x[1] + y[1], 9)) {
    const start = [Math.max(x[0], sum - y[1]), 0], end = [Math.min(x[1], sum - y[0]), 0];
    start[1] = sum - start[0]; end[1] = sum - end[0];
    if (end[0] <= start[0]) continue;
    lines.append(shape("line", { class: "iso", x1: sx(start[0]), y1: sy(start[1]), x2: sx(end[0]), y2: sy(end[1]) }));
    placed(names, `ELBO ${number(-sum)}`, sx(end[0]) - 4, sy(end[1]) - 8, taken, box, "");
  }
  const left = others.length - others.filter(inside).length;
  return element("div", { class: "chart" }, element("h3", {}, title), svg, left ? element("p", { class: "note" }, `${plural(left, "unselected row")} outside of the picture.`) : null);
}
// The window holds all chosen rows, and others as far as they do not squeeze those.
function focused(rows, others) {
  const by = (name) => [...rows, ...others].map((row) => meanOf(row, name)).sort((a, b) => a - b);
  const limits = ["rate", "distortion"].map((name) => { const all = by(name); return all[Math.floor((all.length - 1) * 0.9)]; });
  return [...rows, ...others.filter((row) => meanOf(row, "rate") <= limits[0] && meanOf(row, "distortion") <= limits[1])];
}
function dot(row, x, y, chosen) {
  const { colour, mark } = lookOf(row), label = `${row.label}: rate ${number(meanOf(row, "rate"))}, distortion ${number(meanOf(row, "distortion"))} nats`;
  const made = shape("path", { class: chosen ? "dot" : "dot faint", d: MARKS[chosen ? mark : 0](chosen ? 6 : 4), transform: `translate(${x} ${y})`, fill: chosen ? colour : null,
    role: "img", "aria-label": label, tabindex: chosen ? 0 : null, onclick: () => toggle(row.key) });
  made.append(shape("title", {}, label));
  return made;
}

// -- dimensions and codes ---------------------------------------------------------------------------------------------------

function drawDimensions(section) {
  const rows = chosenRows().filter((row) => row.kl.length);
  if (!rows.length) return blank(section, state.chosen.length ? "No selected row has a rate per dimension." : NOTHING);
  const top = Math.max(...rows.map((row) => row.kl[0])), most = Math.max(...rows.map((row) => row.kl.length));
  heading(section, [], "KL of each latent dimension in nats, the largest first, on one scale; a mean over seeds. Dimensions near 0 carry nothing.");
  const width = Math.min(360, Math.max(230, widthOf(section) < 560 ? widthOf(section) : 270));
  section.append(element("div", { class: "multiples" }, rows.map((row) => element("div", {}, element("h3", { class: "row" }, swatch(row), row.label), bars(row, width, top, most),
    element("p", {}, `${number(row.kl.reduce((sum, value) => sum + value, 0))} nats in ${row.kl.length === 64 ? "the 64 largest" : row.kl.length} dimensions, ${row.kl.filter((value) => value >= 0.01).length} above 0.01 nats`)))));
}
function bars(row, width, top, most) {
  const height = 140, svg = picture(width, height, `KL per dimension of ${row.label}: ${row.kl.slice(0, 8).map((value) => number(value, 2)).join(", ")}${row.kl.length > 8 ? ", …" : ""} nats`);
  const left = wide(number(top, 2)) + 12, sy = scale([0, Math.max(top, 1e-9)], [height - 20, 8]), step = (width - left - 4) / most;
  for (const tick of sy.ticks(3)) svg.append(shape("line", { class: "grid", x1: left, x2: width, y1: sy(tick), y2: sy(tick) }), words(number(tick, 2), left - 5, sy(tick) + 4, "end"));
  row.kl.forEach((value, index) => svg.append(shape("rect", { x: left + index * step + step * 0.1, width: Math.max(1, step * 0.8), y: sy(Math.max(0, value)), height: Math.max(0.5, sy(0) - sy(Math.max(0, value))), fill: colourOf(row) })));
  svg.append(shape("line", { class: "axis", x1: left, x2: width, y1: sy(0), y2: sy(0) }), words("1", left + step / 2, height - 5, "middle"));
  if (most > 1) svg.append(words(String(most), left + step * (most - 0.5), height - 5, most * step > 40 ? "end" : "start"));
  return svg;
}
function drawCodes(section) {
  const rows = chosenRows().filter((row) => row.codes.length);
  if (!rows.length) return blank(section, state.chosen.length ? "No selected row has discrete codes." : NOTHING);
  heading(section, [], "How many codes are used at all, and their perplexity: how many would carry as much if all were used equally often. A codebook with groups or stages shows their mean.");
  const columns = ["Configuration", "Level", "Perplexity", "Codes used", "Codes"];
  const share = (value, all) => (value === null || value === undefined ? "–" : `${number(value)}${all ? ` (${Math.round((100 * value) / all)} %)` : ""}`);
  section.append(element("div", { class: "box", tabIndex: 0, role: "region", "aria-label": "Code usage, scrolls sideways" }, element("table", {},
    element("thead", {}, element("tr", {}, columns.map((name, index) => element("th", { class: index ? "" : "stick", scope: "col" }, name)), element("th", { class: "left", scope: "col" }, "Share"))),
    element("tbody", {}, rows.flatMap((row) => row.codes.map(([level, perplexity, used, all]) => element("tr", {}, element("td", { class: "stick" }, element("span", { class: "row" }, swatch(row), row.label)),
      element("td", {}, level || "–"), element("td", {}, share(perplexity, all)), element("td", {}, share(used, all)), element("td", {}, number(all)), element("td", { class: "left" }, usage(row, perplexity, used, all)))))))));
}
function usage(row, perplexity, used, all) {
  if (!all) return "";
  const width = 160, svg = picture(width, 16, `${Math.round((100 * (used || 0)) / all)} % of the codes are used`);
  svg.append(shape("rect", { x: 0, y: 2, width, height: 12, class: "faint", opacity: 0.4 }), shape("rect", { x: 0, y: 2, width: (width * (used || 0)) / all, height: 12, fill: colourOf(row), opacity: 0.45 }),
    shape("rect", { x: 0, y: 2, width: (width * (perplexity || 0)) / all, height: 12, fill: colourOf(row) }));
  return svg;
}

// -- what did not finish ------------------------------------------------------------------------------------------------------

const JOBS = 50;
function drawJobs(section) {
  const jobs = DATA.rows.flatMap((row) => row.runs.filter((run) => run[2] !== "finished").map((run) => [row, run]));
  if (!jobs.length) return blank(section, "All runs finished.");
  const counts = new Map();
  for (const [, [, , how]] of jobs) counts.set(how, (counts.get(how) || 0) + 1);
  heading(section, [], `${[...counts].map(([how, n]) => `${n.toLocaleString("en")} ${how}`).join(", ")}. ${jobs.length > JOBS ? `The first ${JOBS} are listed.` : ""}`);
  section.append(element("div", { class: "box", tabIndex: 0, role: "region", "aria-label": "Unfinished runs, scrolls sideways" }, element("table", { class: "wrap" },
    element("thead", {}, element("tr", {}, ["Configuration", "State", "Reason", "Seed", "Folder"].map((name, index) => element("th", { class: index ? "" : "stick", scope: "col" }, name)))),
    element("tbody", {}, jobs.slice(0, JOBS).map(([row, [path, seed, how, reason]]) => element("tr", {}, element("td", { class: "stick" }, row.label),
      element("td", {}, element("span", { class: ["queued", "running"].includes(how) ? "" : "flag" }, how)), element("td", {}, reason || "–"), element("td", {}, String(seed)), element("td", {}, element("code", {}, path))))))));
}
function blank(section, message) {
  heading(section);
  section.append(element("p", { class: "note" }, message));
  return false;
}
panels.push({ id: "differences", draw: drawDifferences }, { id: "curves", draw: drawCurves }, { id: "plane", draw: drawPlane },
  { id: "dimensions", draw: drawDimensions }, { id: "codes", draw: drawCodes }, { id: "jobs", draw: drawJobs });
