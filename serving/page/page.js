// The page: one image in, its labels out, and where in it they were seen. Texts from the server are set as text, never as HTML.
"use strict";

const element = (id) => document.getElementById(id);
const percent = (share) => `${(100 * share).toFixed(1)} %`;
const LARGE = 20_000_000; // bytes: what the server reads
const TINY = 64; // pixels: up to this, each is shown as a square

let latest = 0; // the newest question's number: slower answers to older ones are dropped
let explains = false; // whether the server has the model's explain file

function say(text, bad = false) {
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

// Labels are buttons where the server can tell what speaks for each.
function show(labels, image) {
  say("");
  for (const { label, probability } of labels) {
    const parts = [make("span", [label]), make("output", [percent(probability)])];
    const row = make(explains ? "button" : "div", parts, { className: "row" });
    row.style.setProperty("--share", percent(probability).replace(" ", ""));
    if (explains) row.addEventListener("click", () => explain(image, label, row));
    element("labels").append(make("li", [row]));
  }
  if (explains) explain(image, labels[0].label, element("labels").querySelector("button"));
}

// Values, or of each label the share of places that it takes: nothing to ask further about.
function showFacts(facts) {
  say("");
  for (const [name, text] of facts) {
    const parts = [make("span", [name]), make("output", [text])];
    element("labels").append(make("li", [make("div", parts, { className: "row" })]));
  }
}

function shares({ labels }) {
  const counts = new Map();
  for (const label of labels.flat()) counts.set(label, (counts.get(label) || 0) + 1);
  const order = [...counts].sort((one, other) => other[1] - one[1]);
  return order.map(([label, count]) => [label, `${percent(count / labels.flat().length)} of places`]);
}

function showPrediction({ labels, values, grid }, image) {
  if (labels) show(labels, image);
  else showFacts(values ? values.map(({ name, value }) => [name, value.toPrecision(4)]) : shares(grid));
}

async function explain(image, label, chosen) {
  const mine = ++latest;
  for (const row of element("labels").querySelectorAll("button")) row.ariaPressed = row === chosen;
  element("evidence").classList.add("waiting");
  const answer = await ask(`v1/explain?overlay=png&label=${encodeURIComponent(label)}`, image);
  if (mine !== latest) return;
  element("evidence").hidden = !answer.overlay; // the labels stand, even where they cannot be explained
  element("evidence").classList.remove("waiting");
  element("overlay").src = `data:image/png;base64,${answer.overlay}`;
  element("overlay").alt = `The image, with the places that speak for ${label} and those against it`;
  element("why").textContent = `Why ${label}?`;
}

// What the server says of an image; its problem, or ours with reaching it, has a title.
async function ask(address, image) {
  const body = new FormData();
  body.append("image", image, "image");
  try {
    const response = await fetch(address, { method: "POST", body });
    return await response.json();
  } catch {
    return { title: "No answer", detail: "the server cannot be reached." };
  }
}

function preview(file) {
  const image = element("preview");
  URL.revokeObjectURL(image.src);
  image.onload = () => element("drop").classList.toggle("tiny", image.naturalWidth <= TINY);
  image.src = URL.createObjectURL(file);
  image.alt = file.name || "the image";
  image.hidden = false;
  element("hint").hidden = true;
  element("drop").classList.add("full");
}

async function classify(image) {
  const mine = ++latest;
  preview(image);
  if (image.size > LARGE) return say("This image is larger than 20 MB.", true);
  say("looking…");
  const answer = await ask("v1/classify", image);
  await introduced;
  if (mine !== latest) return;
  if (answer.predictions) showPrediction(answer.predictions[0], image);
  else say(`${answer.title}: ${answer.detail}`, true);
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
    const what = `${card.classes.length} ${card.task === "regression" ? "values" : "classes"}`;
    const right = card.test_accuracy ? `, ${percent(card.test_accuracy.value)} right in its test` : "";
    element("model").textContent = `${what}${right}, ${where}`;
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
