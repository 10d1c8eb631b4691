// Parallel coordinates: the settings that were swept, and the metric that they led to.
const AXES = 6, ROOM = 116; // axes shown at first, pixels that one needs
const RAMP = [[37, 99, 235], [168, 85, 200], [234, 88, 12]];

function ramp(share) {
  const at = Math.min(0.9999, Math.max(0, share)) * (RAMP.length - 1), k = Math.floor(at);
  return `rgb(${RAMP[k].map((value, index) => Math.round(value + (at - k) * (RAMP[k + 1][index] - value))).join(",")})`;
}
function sweptKeys(rows, place) { // numbers that vary first, then those that most rows have
  const found = Object.entries(DATA.differences).map(([key, values]) => {
    const own = rows.map((row) => values[place.get(row.key)]).filter((value) => value !== null);
    return { key, distinct: new Set(own.map(String)).size, share: own.length / rows.length };
  });
  return found.filter(({ distinct }) => distinct > 1).sort((a, b) => b.share - a.share || b.distinct - a.distinct).map(({ key }) => key);
}
function drawParallel(section) {
  const groups = byGroup(chosenRows()).map(([group]) => group);
  const metrics = DATA.metrics.filter((metric) => metric.comparable !== false && metric.better);
  if (!groups.length || !metrics.length) return blank(section, groups.length ? "There is no metric to colour by." : NOTHING);
  if (!metrics.some((metric) => metric.name === state.colour)) state.colour = metrics[0].name;
  const place = new Map(DATA.rows.map((row, index) => [row.key, index])), metric = metricOf(state.colour);
  const charts = [];
  let keys = [];
  for (const group of groups) {
    const rows = filtered().filter((row) => row.group === group && meanOf(row, state.colour) !== null && trusted(row, state.colour));
    const swept = sweptKeys(rows, place);
    keys = [...new Set([...keys, ...swept])];
    const axes = state.axes.length ? state.axes.filter((key) => swept.includes(key)) : swept.slice(0, AXES);
    if (rows.length > 1 && axes.length) charts.push([group, rows, axes]);
  }
  if (!charts.length) return blank(section, "There are no two rows of one group that differ in a setting and have this metric.");
  const shown = new Set(charts.flatMap(([, , axes]) => axes));
  const menu = element("details", { class: "menu" }, element("summary", { class: "quiet" }, "Axes"), element("div", { role: "group", "aria-label": "Axes" }, keys.map((key) => element("label", { class: "tick" },
    element("input", { type: "checkbox", checked: shown.has(key), onchange: (event) => {
      state.axes = event.target.checked ? [...shown, key] : [...shown].filter((other) => other !== key);
      refresh(["parallel"]);
    } }), element("span", {}, key)))));
  menu.open = section.querySelector("details")?.open || false;
  heading(section, [select("Metric", "colour", metrics.map((one) => [one.name, says(one)]), () => refresh(["parallel"])), menu],
    "All rows that pass the filters; the selected ones are strong. Colour goes by rank: blue is the best, orange the worst. Click a line to select its row. Numbers over a wide range are on a logarithmic axis.");
  for (const [group, rows, axes] of charts)
    section.append(element("div", { class: "chart" }, element("h3", {}, groupTitle(group)),
      element("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": "Parallel coordinates, scrolls sideways" }, parallelChart(Math.max(widthOf(section), (axes.length + 1) * ROOM), rows, axes, metric, place))));
}
function axisOf(values, box) {
  const there = values.filter((value) => value !== null), numeric = there.every((value) => typeof value === "number") && new Set(there).size > 1;
  if (numeric) {
    const [low, high] = [Math.min(...there), Math.max(...there)], log = low > 0 && high / low > 30;
    const at = scale([low, high], [box.bottom, box.top], log), every = at.ticks(5);
    return { at: (value) => (value === null ? box.none : at(value)), ticks: every.map((tick) => [number(tick), at(tick)]) };
  }
  const names = [...new Set(there.map(String))].sort((a, b) => collator.compare(a, b));
  const y = (name) => (names.length < 2 ? (box.top + box.bottom) / 2 : box.bottom - (names.indexOf(name) / (names.length - 1)) * (box.bottom - box.top));
  const every = Math.ceil((names.length * 15) / (box.bottom - box.top + 15));
  return { at: (value) => (value === null ? box.none : y(String(value))), ticks: names.filter((_, index) => index % every === 0).map((name) => [name, y(name)]) };
}
function parallelChart(width, rows, keys, metric, place) {
  const columns = keys.map((key) => rows.map((row) => DATA.differences[key][place.get(row.key)]));
  const most = Math.max(...columns.map((values) => new Set(values.map(String)).size)), height = Math.min(620, Math.max(320, most * 15 + 90));
  const absent = columns.some((values) => values.includes(null)), step = (width - 100) / keys.length, box = { top: 44, bottom: height - (absent ? 44 : 18), none: height - 12 };
  const results = rows.map((row) => meanOf(row, metric.name));
  const axes = [...columns.map((values) => axisOf(values, box)), axisOf(results, box)];
  const svg = picture(width, height, `Parallel coordinates of ${keys.join(", ")} and ${metric.label} for ${rows.length} rows`);
  const at = (index) => 10 + index * step;
  const faint = shape("g", { class: "lines context" }), strong = shape("g", { class: "lines" });
  rows.forEach((row, index) => {
    const chosen = state.chosen.includes(row.key), share = results.filter((other) => other < results[index]).length / Math.max(1, rows.length - 1);
    const points = [...columns.map((values, axis) => [at(axis), axes[axis].at(values[index])]), [at(keys.length), axes[keys.length].at(results[index])]];
    const path = shape("path", { d: trace(points), stroke: ramp(metric.better === "higher" ? 1 - share : share), "stroke-width": chosen ? 2.75 : 1.5, style: "cursor:pointer", onclick: () => toggle(row.key) },
      shape("title", {}, `${row.label}: ${metric.label} ${number(results[index], 5)}`));
    (chosen ? strong : faint).append(path);
  });
  svg.append(faint, strong);
  [...keys, metric.label].forEach((key, index) => {
    const last = index === keys.length, room = (last ? 100 : step) - 8, label = cut(key, room);
    svg.append(shape("line", { class: "axis", x1: at(index), x2: at(index), y1: box.top - 6, y2: box.bottom + 6 }), words(label, at(index) - 4, 28, "start", "name"));
    for (const [name, y] of axes[index].ticks) {
      const shown = cut(name, room - 8);
      svg.append(shape("rect", { class: "behind", x: at(index) + 4, y: y - 8, width: wide(shown) + 4, height: 16 }), words(shown, at(index) + 6, y + 4));
    }
    if (!last && columns[index].includes(null)) svg.append(words("no such setting", at(index) + 6, box.none + 4));
  });
  return svg;
}
panels.push({ id: "parallel", draw: drawParallel });
