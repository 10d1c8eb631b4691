// Maps of codes whose cells can be changed, and how often codes occur.
function title(level, book) {
  const several = about.levels.length > 1 ? `Level ${level + 1}` : "";
  const books = about.levels[level].books > 1 ? `codebook ${book + 1}` : "";
  const text = [several, books].filter(Boolean).join(", ") || "Codes";
  return text[0].toUpperCase() + text.slice(1);
}

function buildMaps() {
  if (!about.levels) return;
  const groups = about.levels.flatMap((level, l) =>
    Array.from({ length: level.books }, (_, book) => {
      const map = make("div", { className: level.columns > 12 ? "map small" : "map" });
      map.setAttribute("role", "group");
      map.setAttribute("aria-label", title(l, book));
      map.style.gridTemplateColumns = `repeat(${level.columns}, max-content)`;
      for (let i = 0; i < level.rows * level.columns; i++) {
        const at = book * level.rows * level.columns + i;
        const cell = make("button", { type: "button", className: "cell", onclick: () => chooseCell(l, at) });
        cell.dataset.level = l;
        cell.dataset.at = at;
        map.append(cell);
      }
      return make("div", {}, make("h3", { textContent: title(l, book) }), map);
    }),
  );
  const input = make("input", { type: "number", id: "code", min: 0 });
  input.oninput = () => { if (input.validity.valid && input.value !== "") setCode(Number(input.value)); };
  const editor = make("div", { className: "editor", id: "editor", hidden: true },
    make("label", { htmlFor: "code" }, make("span", { id: "where" }), input), make("div", { className: "options", id: "options" }));
  $("maps").append(
    make("p", { className: "note first", textContent: "The number in a cell is its code, and equal codes have equal colours. Choose a cell to change its code." }),
    make("div", { className: "levels" }, ...groups), editor);
  $("maps").hidden = false;
}

function setMaps() {
  if (!about.levels || !state.codes) return;
  for (const cell of $("maps").querySelectorAll(".cell")) {
    const { level, at } = cell.dataset, code = state.codes[level][at], { row, column } = place(level, at);
    const chosen = state.cell?.level === Number(level) && state.cell?.at === Number(at);
    cell.textContent = code;
    cell.style.background = colour(code);
    cell.classList.toggle("changed", code !== state.before.codes[level][at]);
    cell.setAttribute("aria-pressed", chosen);
    cell.setAttribute("aria-label", `row ${row + 1}, column ${column + 1}: code ${code}`);
  }
  for (const map of $("maps").querySelectorAll(".map")) roving(map, { across: 1, down: about.levels[map.firstChild.dataset.level].columns });
}

function chooseCell(level, at) {
  state.cell = { level, at };
  const { book, row, column } = place(level, at);
  $("where").textContent = `${title(level, book)}, row ${row + 1}, column ${column + 1}: code`;
  $("code").max = about.levels[level].values - 1;
  $("code").value = state.codes[level][at];
  $("editor").hidden = false;
  setMaps();
  options();
}

const options = newest(async () => {
  const { level, at } = state.cell;
  const { codes } = await ask("alternatives", { codes: state.codes, level, position: at, index: state.index, label: state.label });
  const buttons = codes.map(({ code, picture }) => {
    const button = make("button", { type: "button", className: "option", onclick: () => { $("code").value = code; setCode(code); } },
      make("img", { src: picture, alt: "" }), make("span", { textContent: code }));
    button.setAttribute("aria-label", `code ${code}`);
    return button;
  });
  const heading = make("p", { className: "note first", textContent: "The picture with one of the most frequent codes in this cell:" });
  $("options").replaceChildren(heading, ...buttons);
  pressOption();
});

const pressOption = () => {
  const code = state.codes[state.cell.level][state.cell.at];
  for (const button of $("options").querySelectorAll("button")) button.setAttribute("aria-pressed", button.textContent === String(code));
};

function setCode(code) {
  state.codes[state.cell.level][state.cell.at] = code;
  setMaps();
  pressOption();
  decode();
}

async function buildUsage() {
  if (about.reasons.codes) { $("codes-lead").textContent = about.reasons.codes; return; }
  $("codes-lead").textContent = "Counting the codes of all test examples …";
  const { levels } = await ask("usage");
  $("codes-lead").textContent = `How often each code occurs in ${number(levels[0].examples)} test examples, the most frequent first.`;
  $("usage").replaceChildren(...levels.flatMap((level, l) => level.books.map(({ counts, perplexity }, book) => {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg"), most = counts[0]?.[1] ?? 1;
    svg.setAttribute("viewBox", `0 0 ${level.values} 100`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", `${title(l, book)}: counts from ${number(most)} down to ${number(counts.at(-1)?.[1] ?? 0)}`);
    counts.forEach(([code, count], i) => {
      const bar = document.createElementNS(svg.namespaceURI, "rect"), height = (100 * count) / most;
      for (const [name, value] of Object.entries({ x: i, y: 100 - height, width: 1, height })) bar.setAttribute(name, value);
      bar.style.fill = colour(code);
      const hint = document.createElementNS(svg.namespaceURI, "title");
      hint.textContent = `code ${code}: ${number(count)} times`;
      bar.append(hint);
      svg.append(bar);
    });
    const used = `${number(counts.length)} of ${number(level.values)} codes occur, the first of them ${number(most)} times`;
    return make("div", {}, make("h3", { textContent: title(l, book) }), svg, make("p", { textContent: `${used}; perplexity ${perplexity.toFixed(1)}` }));
  })));
}
