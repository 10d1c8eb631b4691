// The picture of a latent, and the sliders that move it.
function show(answer) {
  state.latent = answer.latent ?? null;
  state.codes = answer.codes ?? null;
  $("decoded").src = answer.picture;
  $("decoded").alt = "What the latent decodes to";
}

function begin(answer) {
  show(answer);
  state.before = structuredClone({ latent: state.latent, codes: state.codes });
  $("back").disabled = true;
  setSliders();
  setMaps();
  if (state.cell) chooseCell(state.cell.level, state.cell.at);
}

const encode = newest(async (index) => {
  const answer = await ask("encode", { index });
  state.index = index;
  state.label = about.labels.length ? answer.label : null;
  $("original").src = answer.original;
  $("original").hidden = false;
  $("original").alt = called({ index, label: answer.label });
  $("decoded-caption").textContent = "Decoded";
  setLabel();
  begin(answer);
  press($("starts"), (i) => start + i === index);
});

const draw = newest(async () => {
  const answer = await ask("draw", { seed: state.seed, index: state.index, label: state.label });
  $("original").hidden = true;
  $("decoded-caption").textContent = `Decoded: draw ${state.seed + 1}`;
  state.seed += 1;
  begin(answer);
  press($("starts"), () => false);
});

const decode = newest(async (moved = null) => {
  const given = state.codes ? { codes: state.codes } : { latent: state.latent, moved };
  const sent = state.latent?.join();
  const answer = await ask("decode", { ...given, index: state.index, label: state.label });
  $("back").disabled = JSON.stringify({ latent: state.latent, codes: state.codes }) === JSON.stringify(state.before);
  if (state.codes || state.latent.join() !== sent) { $("decoded").src = answer.picture; return; }
  show(answer);
  if (about.support === "sphere" || about.support === "ball") setSliders();
});

const relabel = newest(async () => {
  if (state.codes || state.latent) return decode();
  show(await ask("encode", { index: state.index, label: state.label }));
});

function setLabel() {
  for (const input of $("labels").querySelectorAll("input")) input.checked = Number(input.value) === state.label;
}

function buildLabels() {
  if (lacks($("no-labels"), "labels")) return;
  for (const label of about.labels) {
    const input = make("input", { type: "radio", name: "label", value: label });
    input.onchange = () => { state.label = label; relabel(); if (state.ends.length === 2) interpolate(); };
    $("labels").append(make("label", {}, input, make("span", { textContent: named(label) })));
  }
  $("labels").hidden = false;
}

function slider(dimension, most) {
  const { index } = dimension, one = about.support === "one-hot";
  const input = make("input", { type: "range", min: dimension.low, max: dimension.high, step: dimension.step, id: `z${index}` });
  const output = make("output", { htmlFor: `z${index}` });
  input.oninput = () => {
    state.latent[index] = Number(input.value);
    write(input, output, dimension);
    decode(index);
  };
  const kl = make("div", { className: "kl" });
  if (dimension.kl !== null) {
    const bar = make("i");
    bar.style.width = `${(100 * dimension.kl) / most}%`;
    kl.append(bar, make("span", { textContent: `${dimension.kl.toFixed(2)} nats` }));
  }
  const label = make("label", { htmlFor: `z${index}`, textContent: one ? `#${index + 1}` : `z${index + 1}` });
  return make("div", { className: "dimension" }, label, input, output, kl);
}

function write(input, output, dimension) {
  const value = state.latent[dimension.index];
  output.textContent = about.support === "one-hot" ? `${value + 1} of ${dimension.high + 1}` : value.toFixed(2).replace("-", "−");
}

function buildSliders() {
  if (!about.dimensions) return;
  const most = Math.max(...about.dimensions.map((d) => d.kl ?? 0), 1e-9);
  const used = about.dimensions.filter((d) => d.active), rest = about.dimensions.filter((d) => !d.active);
  const group = (dimensions) => make("div", { className: about.dimensions[0].kl === null ? "dimensions plain" : "dimensions" }, ...dimensions.map((d) => slider(d, most)));
  const folded = (dimensions, text, name = "") =>
    dimensions.length ? [make("details", { className: `folded ${name}` }, make("summary", { textContent: text }), group(dimensions))] : [];
  const more = used.slice(SHOWN);
  $("sliders").append(
    make("p", { className: "note first", textContent: `${about.ranked_by} ${aboutSupport()}`.trim() }),
    used.length ? group(used.slice(0, SHOWN)) : make("p", { className: "note", textContent: "The model uses none of its dimensions: all posteriors are like the prior." }),
    ...folded(more, `${more.length} more dimensions`),
    ...folded(rest, `${rest.length} inactive ${rest.length === 1 ? "dimension" : "dimensions"}, which the model does not use`, "inactive"),
  );
  $("sliders").hidden = false;
}

function aboutSupport() {
  return {
    sphere: "Latents are unit vectors: the other coordinates give way to the one you move.",
    ball: "Latents lie in the Poincaré ball: beyond its edge a point is put back on it.",
    "one-hot": "Each slider is one choice.",
  }[about.support] ?? "";
}

function setSliders() {
  if (!about.dimensions || !state.latent) return;
  for (const dimension of about.dimensions) {
    const input = $(`z${dimension.index}`), value = state.latent[dimension.index];
    input.min = Math.min(dimension.low, value);
    input.max = Math.max(dimension.high, value);
    if (document.activeElement !== input || Number(input.value) !== value) input.value = value;
    write(input, input.nextElementSibling, dimension);
  }
}
