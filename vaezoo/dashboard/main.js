// Puts the page together, and asks the server for newer data where there is one.
const POLL = 4000; // milliseconds

function adopt() { // what follows from the data
  decimals = new Map();
  places = new Map(DATA.metrics.map((metric, index) => [metric.name, index]));
  byKey = new Map(DATA.rows.map((row) => [row.key, row]));
  if (!state.columns.length) state.columns = usual();
  if (!state.sort) state.sort = DATA.metrics.find((metric) => metric.better && metric.comparable !== false)?.name || "label";
  const states = new Map();
  for (const run of DATA.rows.flatMap((row) => row.runs)) states.set(run[2], (states.get(run[2]) || 0) + 1);
  const runs = DATA.rows.reduce((sum, row) => sum + row.runs.length, 0);
  document.getElementById("summary").textContent = `${plural(runs, "run")} in ${plural(DATA.rows.length, "configuration")} and ${plural(DATA.groups.length, "group")}: ${[...states].map(([how, n]) => `${n.toLocaleString("en")} ${how}`).join(", ")}`;
  document.getElementById("colophon").textContent = `Made ${new Date(DATA.built).toLocaleString("en-GB", { dateStyle: "long", timeStyle: "short" })} by vaezoo. This file is complete: it loads nothing from anywhere.`;
}
function drawChips() {
  const rows = chosenRows();
  document.getElementById("chips").replaceChildren(...(rows.length ? rows.map((row) => element("li", {}, sample(row), element("span", { title: row.label }, row.label),
    element("button", { type: "button", "aria-label": `Remove ${row.label}`, onclick: () => choose(row.key, false) }, "×"))) : [element("li", { class: "none" }, "No row is selected.")]));
}
function theme() {
  const names = ["auto", "light", "dark"], button = document.getElementById("theme");
  const apply = (name) => {
    if (name === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = name;
    button.textContent = `Theme: ${name}`;
    keepSetting("vaezoo-theme", name);
  };
  let now = names.includes(setting("vaezoo-theme")) ? setting("vaezoo-theme") : "auto";
  apply(now);
  button.addEventListener("click", () => { now = names[(names.indexOf(now) + 1) % 3]; apply(now); });
}
async function poll() {
  try {
    const version = await (await fetch("version")).text();
    if (version !== DATA.live) {
      const [contents, pictures] = await Promise.all(["data.json", "pictures.json"].map(async (name) => (await fetch(name)).json()));
      [DATA, THUMBNAILS] = [contents, pictures];
      adopt();
      state.chosen = state.chosen.filter((key) => byKey.has(key));
      if (!state.chosen.length) state.chosen = DATA.first;
      const board = document.querySelector("#leaderboard .filters");
      if (board && !board.contains(document.activeElement)) board.remove(); // new data may bring new choices
      refresh();
      say("New results");
    }
  } catch { /* the server is gone; the page stays as it is */ }
  setTimeout(poll, POLL);
}
function start() {
  const kept = recall();
  adopt();
  state.chosen = kept ? kept.filter((key) => byKey.has(key)) : DATA.first;
  theme();
  document.getElementById("contents").append(...[...document.querySelectorAll(".panel")].map((section) => element("a", { href: `#${section.id}`, onclick: (event) => {
    event.preventDefault(); // the address holds the state
    section.scrollIntoView();
    section.setAttribute("tabindex", "-1");
    section.focus({ preventScroll: true });
  } }, section.dataset.title)));
  document.getElementById("best").addEventListener("click", () => { state.chosen = [...DATA.first]; refresh(); });
  document.getElementById("clear").addEventListener("click", () => { state.chosen = []; refresh(); });
  document.addEventListener("click", (event) => document.querySelectorAll("details.menu[open]").forEach((menu) => { if (!menu.contains(event.target)) menu.open = false; }));
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") document.querySelectorAll("details.menu[open]").forEach((menu) => { menu.open = false; menu.querySelector("summary").focus(); }); });
  document.getElementById("about").addEventListener("click", (event) => { if (event.target.id === "about") event.target.close(); });
  const watch = new IntersectionObserver((entries) => {
    entries.forEach((entry) => near[entry.isIntersecting ? "add" : "delete"](entry.target.id));
    drawNear();
  }, { rootMargin: "400px" });
  const bar = document.getElementById("selection"), root = document.documentElement;
  new ResizeObserver(() => root.style.setProperty("--bar", `${bar.offsetHeight}px`)).observe(bar); // what headings must clear
  refresh();
  document.querySelectorAll(".panel").forEach((section) => watch.observe(section));
  document.addEventListener("DOMContentLoaded", () => refresh(["pictures"]));
  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; refresh(); } });
  addEventListener("beforeprint", () => { drawNear(true); });
  if (DATA.live) setTimeout(poll, POLL);
}
start();
