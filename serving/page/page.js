// The page: shows the labels of an image and the evidence for each. Strings from the server are set as text, never as HTML.
"use strict";

const element = (id) => document.getElementById(id);
const percent = (share) => `${(100 * share).toFixed(1)} %`;
const MAX_BYTES = 20_000_000; // the server's limit for a body
const TINY = 64; // pixels: up to this width, pixels are shown as squares

let latest = 0; // number of the newest request: late responses to older ones are dropped
let explains = false; // whether the server has the model's explain file

function showMessage(text, bad = false) {
  element("message").textContent = text;
  element("message").classList.toggle("bad", bad);
  element("labels").replaceChildren();
  element("evidence").hidden = true;
}

function make(name, content, properties = {}) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...content);
  return made;
}

// Labels are buttons if the server can explain them.
function show(labels, image) {
  showMessage("");
  for (const { label, probability } of labels) {
    const parts = [make("span", [label]), make("output", [percent(probability)])];
    const row = make(explains ? "button" : "div", parts, { className: "row" });
    row.style.setProperty("--share", percent(probability).replace(" ", ""));
    if (explains) row.addEventListener("click", () => explain(image, label, row));
    element("labels").append(make("li", [row]));
  }
  if (explains) explain(image, labels[0].label, element("labels").querySelector("button"));
}

// Values, their means over a grid, labels of a sequence, or the share of cells that a label has; none is explained.
function showFacts(facts) {
  showMessage("");
  for (const [name, text] of facts) {
    const parts = [make("span", [name]), make("output", [text])];
    element("labels").append(make("li", [make("div", parts, { className: "row" })]));
  }
}

function shares({ labels }) {
  const counts = new Map();
  for (const label of labels.flat()) counts.set(label, (counts.get(label) || 0) + 1);
  const order = [...counts].sort((one, other) => other[1] - one[1]);
  return order.map(([label, count]) => [label, `${percent(count / labels.flat().length)} of cells`]);
}

// The mean of each map of values, and its least and largest.
function showMaps(maps) {
  showFacts(maps.flatMap(({ name, values }) => {
    const cells = values.flat();
    const mean = cells.reduce((sum, value) => sum + value, 0) / cells.length;
    const [least, largest] = [Math.min(...cells), Math.max(...cells)].map((value) => value.toPrecision(3));
    return [[`${name}, mean`, mean.toPrecision(3)], ["least to largest", `${least} to ${largest}`]];
  }));
}

// The labels in their order, and whether all of them are right.
function showSequence(sequence, probability) {
  const labels = sequence.map((each) => [each.label, percent(each.probability)]);
  showFacts([...labels, ["the whole sequence", percent(probability)]]);
}

// Each box with its place: left, top, right and bottom in percent of the image.
function showBoxes(boxes) {
  if (!boxes.length) return showFacts([["no box", ""]]);
  showFacts(boxes.map(({ label, probability, box }) => [
    `${label} from ${place(box[0], box[1])} to ${place(box[2], box[3])} %`,
    percent(probability),
  ]));
}

const place = (across, down) => `${Math.round(100 * across)}, ${Math.round(100 * down)}`;

function showPrediction({ labels, values, grid, maps, sequence, probability, boxes }, image) {
  if (labels) show(labels, image);
  else if (boxes) showBoxes(boxes);
  else if (maps) showMaps(maps);
  else if (sequence) showSequence(sequence, probability);
  else showFacts(values ? values.map(({ name, value }) => [name, value.toPrecision(4)]) : shares(grid));
}

async function explain(image, label, chosen) {
  const number = ++latest;
  for (const row of element("labels").querySelectorAll("button")) row.ariaPressed = row === chosen;
  element("evidence").classList.add("waiting");
  const result = await post(`v1/explain?overlay=png&label=${encodeURIComponent(label)}`, image);
  if (number !== latest) return;
  element("evidence").hidden = !result.overlay; // labels stay, even where they cannot be explained
  element("evidence").classList.remove("waiting");
  element("overlay").src = `data:image/png;base64,${result.overlay}`;
  element("overlay").alt = `The image, with the evidence for and against ${label}`;
  element("why").textContent = `Why ${label}?`;
}

// The JSON of a response; a problem document, or a failed connection, has a title.
async function post(address, image) {
  const body = new FormData();
  body.append("image", image, "image");
  try {
    const response = await fetch(address, { method: "POST", body });
    return await response.json();
  } catch {
    return { title: "No response", detail: "the server cannot be reached." };
  }
}

function preview(image) {
  const preview = element("preview");
  URL.revokeObjectURL(preview.src);
  preview.onload = () => element("drop").classList.toggle("tiny", preview.naturalWidth <= TINY);
  preview.src = URL.createObjectURL(image);
  preview.alt = image.name || "the image";
  preview.hidden = false;
  element("hint").hidden = true;
  element("drop").classList.add("full");
}

async function classify(image) {
  const number = ++latest;
  preview(image);
  if (image.size > MAX_BYTES) return showMessage("This image is larger than 20 MB.", true);
  showMessage("classifying…");
  const result = await post("v1/classify", image);
  await introduced;
  if (number !== latest) return;
  if (result.predictions) showPrediction(result.predictions[0], image);
  else showMessage(`${result.title}: ${result.detail}`, true);
}

function take(files) {
  const [image] = files;
  if (image) classify(image);
}

async function introduce() {
  const page = location.href.replace(/[?#].*$/, "");
  element("command").textContent = `curl -F image=@photo.jpg ${page}v1/classify`;
  try {
    const response = await fetch("v1/model");
    const { card, provider, explanations, detail } = await response.json();
    if (!response.ok) throw new Error(detail);
    explains = explanations !== null;
    const where = provider.startsWith("CPU") ? "on the CPU" : "on the GPU";
    const what = `${card.classes.length} ${card.units.length ? "values" : "classes"}`;
    const accuracy = card.test_accuracy ? `, ${percent(card.test_accuracy.value)} test accuracy` : "";
    element("model").textContent = `${what}${accuracy}, ${where}`;
  } catch (fault) {
    element("model").textContent = fault.message;
  }
}

element("file").addEventListener("change", (event) => take(event.target.files));
document.addEventListener("paste", (event) => take(event.clipboardData.files));
for (const kind of ["dragenter", "dragover"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    element("drop").classList.add("over");
  });
}
for (const kind of ["dragleave", "drop"]) {
  document.addEventListener(kind, () => element("drop").classList.remove("over"));
}
document.addEventListener("drop", (event) => {
  event.preventDefault();
  take(event.dataTransfer.files);
});
const introduced = introduce();
