// Charts as SVG: scales, axes, and text that never lies on other text.
const SVG = "http://www.w3.org/2000/svg";
const brush = document.createElement("canvas").getContext("2d");
function wide(label) { // pixels
  brush.font = `12px ${getComputedStyle(document.body).fontFamily}`;
  return brush.measureText(label).width;
}
function cut(label, room) {
  if (wide(label) <= room) return label;
  let kept = label.length;
  while (kept > 1 && wide(`${label.slice(0, kept)}…`) > room) kept--;
  return `${label.slice(0, kept)}…`;
}

function shape(tag, properties = {}, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === "") continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}
const picture = (width, height, label, role = "img") =>
  shape("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role, "aria-label": label });
const widthOf = (section) => {
  const style = getComputedStyle(section);
  return Math.max(240, Math.floor(section.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight)));
};

function ticks(low, high, count) {
  if (!(high > low)) return [low];
  const raw = (high - low) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= raw) || raw;
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) found.push(Number((k * step).toPrecision(12)));
  return found;
}
function powers(low, high, count) {
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++)
    for (const factor of [1, 2, 5]) {
      const value = Number((factor * 10 ** power).toPrecision(6));
      if (value >= low * 0.999 && value <= high * 1.001) found.push(value);
    }
  const whole = found.filter((value) => Number.isInteger(Math.log10(value)));
  const every = (values) => values.filter((_, index) => index % Math.ceil(values.length / count) === 0);
  return found.length <= count ? found : every(whole.length > 1 ? whole : found);
}
function scale([low, high], [from, to], log = false) {
  const map = log ? Math.log10 : (value) => value;
  const [a, b] = [map(low), map(high)];
  const at = (value) => (b === a ? (from + to) / 2 : from + ((map(value) - a) / (b - a)) * (to - from));
  at.domain = [low, high];
  at.ticks = (count) => (log ? powers(low, high, count) : ticks(low, high, count));
  return at;
}
function extent(values, { room = 0.05, log = false, zero = false } = {}) {
  let [low, high] = zero ? [0, 0] : [Infinity, -Infinity];
  for (const value of values) [low, high] = [Math.min(low, value), Math.max(high, value)];
  if (low === high) [low, high] = log ? [low / 2, high * 2] : [low - (Math.abs(low) || 1) * 0.1, high + (Math.abs(high) || 1) * 0.1];
  if (log) return [low / (high / low) ** room, high * (high / low) ** room];
  const gap = (high - low) * room;
  return [zero && low === 0 ? 0 : low - gap, high + gap];
}

// Axes and grid; returns the two scales and the plot's box.
function frame(svg, { width, height, x, y, xLabel, yLabel, xLog = false, yLog = false, xCount, format = number }) {
  const rough = scale(y, [0, 1], yLog).ticks(6);
  const left = Math.ceil(Math.max(...rough.map((tick) => wide(format(tick))), 12)) + 14;
  const box = { left, right: width - 12, top: 26, bottom: height - 40 };
  const sx = scale(x, [box.left, box.right], xLog), sy = scale(y, [box.bottom, box.top], yLog);
  const across = sx.ticks(xCount || Math.max(2, Math.floor((box.right - box.left) / 85)));
  for (const tick of sy.ticks(6)) {
    svg.append(shape("line", { class: "grid", x1: box.left, x2: box.right, y1: sy(tick), y2: sy(tick) }));
    svg.append(words(format(tick), box.left - 7, sy(tick) + 4, "end"));
  }
  let free = -Infinity;
  for (const tick of across) {
    const label = format(tick), half = wide(label) / 2;
    const at = Math.min(sx(tick), width - half - 1);
    svg.append(shape("line", { class: "axis", x1: sx(tick), x2: sx(tick), y1: box.bottom, y2: box.bottom + 4 }));
    if (at - half > free) { svg.append(words(label, at, box.bottom + 18, "middle")); free = at + half + 6; }
  }
  svg.append(shape("line", { class: "axis", x1: box.left, x2: box.right, y1: box.bottom, y2: box.bottom }));
  svg.append(words(yLabel, 2, 13), words(xLabel, box.right, height - 5, "end"));
  return { sx, sy, box };
}
function words(content, x, y, anchor = "start", kind = "") {
  const made = shape("text", { x, y, "text-anchor": anchor, class: kind });
  made.textContent = content;
  return made;
}
const trace = (points) => points.map(([x, y], index) => `${index ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");

// Puts a label beside a point where there is room for it, or nowhere.
function placed(svg, label, x, y, taken, box, kind = "name") {
  const length = wide(label), spots = [[9, 4, 0], [-9, 4, 1], [0, -10, 0.5], [0, 19, 0.5], [9, -8, 0], [9, 16, 0], [-9, -8, 1], [-9, 16, 1]];
  for (const [dx, dy, share] of spots) {
    const left = x + dx - length * share, area = [left - 2, y + dy - 12, left + length + 2, y + dy + 4];
    const inside = area[0] >= box.left && area[2] <= box.right && area[1] >= box.top && area[3] <= box.bottom;
    if (!inside || taken.some((other) => area[0] < other[2] && other[0] < area[2] && area[1] < other[3] && other[1] < area[3])) continue;
    taken.push(area);
    svg.append(words(label, left, y + dy, "start", `halo ${kind}`));
    return;
  }
}
const MARKS = [
  (r) => `M${-r} 0A${r} ${r} 0 1 0 ${r} 0A${r} ${r} 0 1 0 ${-r} 0Z`,
  (r) => `M${-r * 0.9} ${-r * 0.9}H${r * 0.9}V${r * 0.9}H${-r * 0.9}Z`,
  (r) => `M0 ${-r * 1.2}L${r * 1.1} ${r * 0.8}H${-r * 1.1}Z`,
  (r) => `M0 ${-r * 1.3}L${r * 1.3} 0L0 ${r * 1.3}L${-r * 1.3} 0Z`,
  (r) => `M0 ${r * 1.2}L${r * 1.1} ${-r * 0.8}H${-r * 1.1}Z`,
];
function sample(row) { // a piece of the row's line with its mark, for legends
  const { colour, dash, mark } = lookOf(row);
  return shape("svg", { width: 30, height: 12, "aria-hidden": "true" },
    shape("line", { x1: 0, x2: 30, y1: 6, y2: 6, stroke: colour, "stroke-width": 2.5, "stroke-dasharray": dash }),
    shape("path", { d: MARKS[mark](4), transform: "translate(15 6)", fill: colour }));
}
const swatch = (row) => element("span", { class: "swatch", style: `background:${colourOf(row)}` });
