// The page: one picture in, its labels out. Texts from the server are set as text, never as HTML.
"use strict";

const element = (id) => document.getElementById(id);
const percent = (share) => `${(100 * share).toFixed(1)} %`;
const LARGE = 20_000_000; // bytes: what the server reads
const TINY = 64; // pixels: up to this, each is shown as a square

let latest = 0; // the newest picture's number: slower answers to older ones are dropped

function say(text, bad = false) {
  element("message").textContent = text;
  element("message").classList.toggle("bad", bad);
  element("labels").replaceChildren();
}

function show(labels) {
  say("");
  for (const { label, probability } of labels) {
    const row = document.createElement("li");
    const name = document.createElement("span");
    const share = document.createElement("output");
    row.style.setProperty("--share", percent(probability).replace(" ", ""));
    name.textContent = label;
    share.textContent = percent(probability);
    row.append(name, share);
    element("labels").append(row);
  }
}

function preview(picture) {
  const image = element("preview");
  URL.revokeObjectURL(image.src);
  image.onload = () => element("drop").classList.toggle("tiny", image.naturalWidth <= TINY);
  image.src = URL.createObjectURL(picture);
  image.alt = picture.name || "the picture";
  image.hidden = false;
  element("hint").hidden = true;
  element("drop").classList.add("full");
}

async function classify(picture) {
  const mine = ++latest;
  preview(picture);
  if (picture.size > LARGE) return say("This picture is larger than 20 MB.", true);
  say("looking…");
  const body = new FormData();
  body.append("image", picture, "picture");
  try {
    const response = await fetch("v1/classify", { method: "POST", body });
    const answer = await response.json();
    if (mine !== latest) return;
    if (response.ok) show(answer.predictions[0].labels);
    else say(`${answer.title}: ${answer.detail}`, true);
  } catch {
    if (mine === latest) say("The server does not answer.", true);
  }
}

function take(files) {
  const [picture] = files;
  if (picture) classify(picture);
}

async function introduce() {
  const page = location.href.replace(/[?#].*$/, "");
  element("command").textContent = `curl -F image=@photo.jpg ${page}v1/classify`;
  try {
    const response = await fetch("v1/model");
    const { card, provider, detail } = await response.json();
    if (!response.ok) throw new Error(detail);
    const where = provider.startsWith("CPU") ? "on the CPU" : "on the GPU";
    const accuracy = percent(card.test_accuracy.value);
    element("model").textContent = `${card.classes.length} classes, ${accuracy} right in its test, ${where}`;
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
introduce();
