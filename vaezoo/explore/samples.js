// Interpolation between two examples, and the training neighbours of draws.
const interpolate = newest(async () => {
  const [a, b] = state.ends;
  const { pictures } = await ask("interpolate", { a, b, label: state.label });
  $("path").replaceChildren(...pictures.map((picture, i) => {
    const share = i / (pictures.length - 1), end = share === 0 ? "A" : share === 1 ? "B" : share.toFixed(1);
    return make("figure", {}, make("img", { src: picture, alt: `${Math.round(100 * share)} % of the way` }), make("figcaption", { textContent: end }));
  }));
});

function chooseEnd(index) {
  state.ends = state.ends.length === 1 ? [state.ends[0], index] : [index];
  markEnds();
  if (state.ends.length === 2) interpolate();
}

function markEnds() {
  const { ends } = state;
  press($("ends"), (i) => ends.includes(start + i));
  [...$("ends").children].forEach((button, i) => {
    button.querySelector("b")?.remove();
    const names = ends.map((end, k) => (end === start + i ? "AB"[k] : "")).join("");
    if (names) button.append(make("b", { textContent: names[0] }));
  });
  const told = about.reasons.labels ? "" : " The decoder is told the label that is chosen above.";
  const ask = ["Choose two examples.", "Choose the second example.", "Choose another first example to go on."][ends.length];
  $("interpolate-lead").textContent = `${ask} Latents go along ${about.way} from the mean of q(z|x) of A to that of B.${told}`;
}

const look = newest(async () => {
  $("look").disabled = true;
  $("neighbours-lead").textContent = "Drawing, and looking through the training examples; the first time takes a while …";
  try {
    const found = await ask("neighbours", { n: SAMPLES, seed: state.seed });
    state.seed += 1;
    $("cards").replaceChildren(...found.samples.map((sample, i) => card(sample, i)));
    explainNeighbours(found);
  } catch (error) {
    explainNeighbours();
    throw error;
  } finally {
    $("look").disabled = false;
  }
});

function explainNeighbours(found) {
  const numbers = found ? ` ${number(found.training)} training and ${number(found.reference)} test examples were compared.` : "";
  $("neighbours-lead").textContent =
    `Draws from ${about.source} and the three training examples nearest to each, in pixels and in the encoder's features, with their Euclidean distance.` +
    " Below: how many test examples, and how many of their reconstructions (which are as smooth as a draw), come nearer to a training example." +
    ` Where next to none does, the model may have learned that example by heart.${numbers}`;
}

function card(sample, i) {
  const parts = ["pixels", "features"].flatMap((space) => {
    const { nearest, percentiles: p } = sample[space], rare = Math.max(p.test, p.reconstructions) < RARE;
    const heading = make("h3", { textContent: space === "pixels" ? "In pixels" : "In features" });
    if (rare) heading.append(make("span", { className: "flag", textContent: "suspiciously near" }));
    const figures = nearest.map((n) => make("figure", {},
      make("img", { src: n.picture, alt: `training example ${n.index}${n.label === null ? "" : `, label ${named(n.label)}`}`, title: `training example ${n.index}` }),
      make("figcaption", { textContent: n.distance.toPrecision(3) })));
    const share = `Nearer: ${p.test.toFixed(0)} % of test examples, ${p.reconstructions.toFixed(0)} % of reconstructions`;
    return [heading, make("div", { className: "near" }, ...figures), make("p", { className: "share", textContent: share })];
  });
  return make("article", { className: "card" }, make("img", { src: sample.picture, alt: `draw ${i + 1}` }), make("p", { className: "said", textContent: `Draw ${i + 1}` }), ...parts);
}
