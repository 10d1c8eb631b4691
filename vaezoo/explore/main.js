// Puts the page together.
async function more() {
  examples = (await ask("thumbnails", { start })).examples;
  for (const [id, chosen] of [["starts", encode], ["ends", chooseEnd]]) {
    if (id === "ends" && about.reasons.interpolate) continue;
    $(id).replaceChildren(...examples.map((example) => {
      const button = make("button", { type: "button", className: "thumb", onclick: () => chosen(example.index) }, make("img", { src: example.picture, alt: called(example) }));
      button.title = called(example);
      return button;
    }));
    roving($(id), { across: 2, down: 1 });
  }
  press($("starts"), (i) => start + i === state.index && !$("original").hidden);
  if (!about.reasons.interpolate) markEnds();
}

function theme() {
  const names = ["auto", "light", "dark"], button = $("theme");
  let now = names.includes(localStorage.getItem(KEPT)) ? localStorage.getItem(KEPT) : "auto";
  const set = () => {
    if (now === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = now;
    button.textContent = `Theme: ${now}`;
    localStorage.setItem(KEPT, now);
  };
  button.onclick = () => { now = names[(names.indexOf(now) + 1) % names.length]; set(); };
  set();
}

function head() {
  $("run").textContent = about.run ?? "Model";
  document.title = `${about.run ?? "Model"} · explore · vaezoo`;
  const facts = [`${about.variant} on ${about.dataset}`, about.likelihood && `${about.likelihood} likelihood`, `latent ${about.latent.join(" × ")}`];
  $("summary").textContent = facts.filter(Boolean).join(" · ");
  if (about.url) $("summary").append(" · ", make("a", { href: about.url, textContent: about.paper, rel: "noreferrer" }));
}

/** Buttons of what there is, and a sentence in place of what there is not. */
function panels() {
  const { reasons } = about;
  buildLabels();
  buildSliders();
  buildMaps();
  $("no-latent").hidden = Boolean(about.dimensions || about.levels);
  $("no-latent").textContent = reasons.sliders;
  if (!lacks($("no-draw"), "draw")) {
    $("draw").textContent = `Draw from ${about.source}`;
    $("draw").hidden = $("look").hidden = false;
    explainNeighbours();
  } else $("neighbours-lead").textContent = reasons.draw;
  if (reasons.interpolate) $("interpolate-lead").textContent = reasons.interpolate;
  for (const [id, panel] of [["codes", "codes"], ["interpolate", "interpolate"], ["neighbours", "draw"]]) $(id).classList.toggle("empty", Boolean(reasons[panel]));
  $("back").hidden = !about.dimensions && !about.levels;
}

async function main() {
  theme();
  about = await ask("about");
  head();
  if (about.reasons.pictures) {
    document.querySelector("main").replaceChildren(make("section", { className: "panel empty" }, make("p", { textContent: about.reasons.pictures })));
    document.querySelector("nav").remove();
    return;
  }
  panels();
  $("draw").onclick = () => draw();
  $("look").onclick = () => look();
  $("back").onclick = () => { Object.assign(state, structuredClone(state.before)); setSliders(); setMaps(); if (state.cell) chooseCell(state.cell.level, state.cell.at); decode(); };
  for (const button of document.querySelectorAll(".more")) {
    button.hidden = about.test <= 40 || (button.closest("#interpolate") && about.reasons.interpolate !== null);
    button.onclick = () => { start = start + 40 < about.test ? start + 40 : 0; tried(more); };
  }
  await more();
  await encode(0);
  await buildUsage();
}

tried(main);
