// What all panels use: elements, questions to the server, keyboard, names.
const $ = (id) => document.getElementById(id);
const KEPT = "vaezoo-theme", SHOWN = 24, SAMPLES = 8, RARE = 1;
let about, start = 0, examples = [];
const state = { index: 0, label: null, latent: null, codes: null, before: null, seed: 0, cell: null, ends: [] };

function make(tag, options = {}, ...children) {
  const { aria, ...plain } = options;
  const element = Object.assign(document.createElement(tag), plain);
  for (const [name, value] of Object.entries(aria ?? {})) element.setAttribute(`aria-${name}`, value);
  element.append(...children);
  return element;
}

async function ask(name, question = {}) {
  const answer = await fetch(`/api/${name}`, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(question),
  });
  const found = await answer.json();
  if (!answer.ok) throw new Error(found.error);
  return found;
}

/** Runs a question and says what went wrong. */
async function tried(work) {
  try {
    $("said").textContent = "";
    return await work();
  } catch (error) {
    $("said").textContent = error instanceof TypeError ? "The server does not answer: is `vaezoo explore` still running?" : error.message;
  }
}

/** Only the newest call runs once the one before has ended. */
function newest(work) {
  let busy = false, next = null;
  return async (...given) => {
    next = given;
    if (busy) return;
    busy = true;
    while (next) {
      const now = next;
      next = null;
      await tried(() => work(...now));
    }
    busy = false;
  };
}

/** One tab stop for a group of buttons; arrow keys move in it. */
function roving(group, rows) {
  const buttons = [...group.querySelectorAll("button")];
  const stop = (chosen) => buttons.forEach((button) => { button.tabIndex = button === chosen ? 0 : -1; });
  if (!buttons.includes(document.activeElement)) stop(buttons.find((b) => b.getAttribute("aria-pressed") === "true") ?? buttons[0]);
  group.onkeydown = (event) => {
    const at = buttons.indexOf(document.activeElement);
    const step = { ArrowRight: rows.across, ArrowLeft: -rows.across, ArrowDown: rows.down, ArrowUp: -rows.down }[event.key];
    if (at < 0 || !step || !buttons[at + step]) return;
    event.preventDefault();
    stop(buttons[at + step]);
    buttons[at + step].focus();
  };
  group.onfocusin = (event) => stop(event.target.closest("button"));
}

const press = (group, pressed) => [...group.querySelectorAll("button")].forEach((button, i) => button.setAttribute("aria-pressed", pressed(i)));
const number = (value) => value.toLocaleString("en");
const colour = (code) => `hsl(${(code * 137.508) % 360} ${58 + (code % 3) * 10}% ${70 + (code % 4) * 4}%)`;
const named = (label) => about.label_names?.[label] ?? label;
const called = (example) => `test example ${example.index}${example.label === null ? "" : `, label ${named(example.label)}`}`;
const cells = (level) => level.books * level.rows * level.columns;
const place = (level, at) => {
  const { rows, columns } = about.levels[level], size = rows * columns;
  return { book: Math.floor(at / size), row: Math.floor((at % size) / columns), column: at % columns };
};

function lacks(element, panel) {
  const reason = about.reasons[panel];
  if (reason) element.textContent = reason;
  element.hidden = !reason;
  return Boolean(reason);
}
