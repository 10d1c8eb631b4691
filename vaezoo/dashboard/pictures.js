// Pictures of the chosen rows side by side.
const KINDS = [["reconstructions", "Reconstructions"], ["samples", "Samples"], ["traversals", "Traversals"], ["latent", "Latent plane"]];
const SAYS = {
  reconstructions: "Pairs of rows: data above, reconstruction below. Rows of one dataset show the same examples.",
  samples: "Draws of the prior, from the same seed of the noise for every row; comparable between likelihoods of one dataset.",
  traversals: "One latent dimension per line, from −2.5 to 2.5 standard deviations; the others stay at the code of the same example.",
  latent: "Codes of test examples, coloured by label; there is such a picture where the latent has two dimensions.",
};
const SIDE = 24; // pictures shown at first

function drawPictures(section) {
  const rows = chosenRows();
  if (!rows.length) return blank(section, NOTHING);
  if (document.readyState === "loading") return blank(section, "The pictures are being read."); // they come last in the file
  const there = thumbnails();
  const kinds = element("fieldset", { class: "choice" }, element("legend", { class: "unseen" }, "Kind of picture"), KINDS.map(([kind, label]) => element("label", {},
    element("input", { type: "radio", name: "picture", checked: state.picture === kind, "data-focus": `picture-${kind}`, onchange: () => { state.picture = kind; refresh(["pictures"]); } }), element("span", {}, label))));
  heading(section, [kinds], SAYS[state.picture]);
  section.append(element("div", { class: "figures" }, byDataset(rows).slice(0, SIDE).map((row) => figure(row, there[row.key]))));
  const left = Object.keys(there).length, possible = DATA.rows.filter((row) => row.n).length;
  const notes = [rows.length > SIDE ? `The first ${SIDE} of ${rows.length} selected rows are shown.` : "",
    left < possible ? `This page holds pictures of ${left.toLocaleString("en")} of ${plural(possible, "finished row")}, the best of each group first; the others are in the run folders.` : ""];
  if (notes.some(Boolean)) section.append(element("p", { class: "note" }, notes.filter(Boolean).join(" ")));
}
function byDataset(rows) { // beside each other what was made of the same data, whatever the likelihood
  const order = [...new Set(rows.map((row) => DATA.groups[row.group].dataset))];
  return [...rows].sort((a, b) => order.indexOf(DATA.groups[a.group].dataset) - order.indexOf(DATA.groups[b.group].dataset));
}
function figure(row, found) {
  const source = found?.[state.picture], name = KINDS.find(([kind]) => kind === state.picture)[1], seed = row.runs.find((run) => run[2] === "finished")?.[1];
  const run = row.runs.findIndex(([, , how]) => how === "finished"), error = row.values[metricIndex("squared_error")]?.[run] ?? null, group = DATA.groups[row.group];
  const notes = [DATA.groups.length > 1 ? group.likelihood : "", error !== null ? `squared error ${number(error)}` : "", row.runs.length > 1 && seed !== undefined ? `seed ${seed}` : ""];
  const caption = element("figcaption", {}, element("span", {}, swatch(row), row.label), element("small", {}, notes.filter(Boolean).join(" · ")));
  const why = !found ? (row.n ? "Its pictures are not in this page." : "Not finished, so there are no pictures.") : `There is no picture of this kind: ${missing(row)}.`;
  const large = () => open(element("div", {}, dialogHead(row.label), element("img", { src: source, alt: `${name} of ${row.label}` })));
  return element("figure", { "data-row": row.key }, caption, source ? element("button", { type: "button", "aria-label": `Enlarge: ${name} of ${row.label}`, onclick: large }, element("img", { src: source, alt: `${name} of ${row.label}` })) : element("p", {}, why));
}
const missing = () => ({ reconstructions: "the data are no pictures", samples: "it has no prior to draw from", traversals: "its latent has no single dimensions to walk along", latent: "its latent is not two-dimensional" })[state.picture];
panels.push({ id: "pictures", draw: drawPictures });
