// Pointing at the curves tells their numbers; the words come with the page. Without this, each point has its own title.
"use strict";

const { names, stops } = JSON.parse(document.getElementById("numbers").textContent);
const plot = document.getElementById("plot");
const readout = document.getElementById("readout");
const NEAR = 0.025; // of the axis: a size that was measured attracts the pointer

let at = -1; // the stop that is shown

for (const title of plot.querySelectorAll("title")) title.remove();
plot.tabIndex = 0;
plot.setAttribute("role", "group");
plot.setAttribute("aria-label", "Learning curves: the arrow keys read the numbers, size by size");

const drawing = () => [...plot.querySelectorAll("svg")].find((one) => getComputedStyle(one).display !== "none");
const shown = (index) => document.getElementById(`show-${index}`).checked;
const view = () => (document.getElementById("view-accuracy").checked ? "accuracy" : "error");

function make(name, content, className = "") {
  const made = Object.assign(document.createElement(name), { className });
  made.append(...content);
  return made;
}

function numbers(row) {
  if (!row) return ["not known"];
  const which = view() === "error" ? 0 : 1;
  const seeds = row.seeds ? [make("small", [`seeds: ${row.seeds.map((one) => one[which]).join(", ")}`])] : [];
  const note = row.note ? [make("small", [row.note])] : [];
  return [row[view()], ...seeds, ...note];
}

function show(index) {
  at = index;
  const stop = stops[index];
  const what = view() === "error" ? "test error" : "test accuracy";
  const columns = stop.rows.flatMap((row, place) =>
    shown(place) ? [make("div", [make("dt", [names[place]]), make("dd", numbers(row))], `c${place}`)] : [],
  );
  const leads = stop.pairs.filter((pair) => pair && pair.of.every((name) => shown(names.indexOf(name))));
  readout.replaceChildren(
    make("p", [make("strong", [stop.title]), ` · ${what}`]),
    make("dl", columns),
    ...leads.map((pair) => make("p", [pair.words])),
  );
  mark(stop.place);
}

// A line over the size.
function mark(share) {
  unmark();
  const svg = drawing();
  const [left, right] = [Number(svg.dataset.left), Number(svg.dataset.right)];
  const cross = svg.querySelector(".cross");
  const across = (left + share * (right - left)) * svg.viewBox.baseVal.width;
  for (const end of ["x1", "x2"]) cross.setAttribute(end, across);
  cross.setAttribute("visibility", "visible");
}

function unmark() {
  for (const line of plot.querySelectorAll(".cross")) line.setAttribute("visibility", "hidden");
}

function rest() {
  at = -1;
  unmark();
  readout.replaceChildren(make("p", ["Point at the curves, or use the arrow keys on them, to read their numbers here."]));
}

function nearest(share) {
  const distance = (stop) => Math.abs(stop.place - share) - (stop.measured ? NEAR : 0);
  return stops.reduce((best, stop, index) => (distance(stop) < distance(stops[best]) ? index : best), 0);
}

function point(event) {
  const svg = drawing();
  const box = svg.getBoundingClientRect();
  const [left, right] = [Number(svg.dataset.left), Number(svg.dataset.right)];
  const share = ((event.clientX - box.left) / box.width - left) / (right - left);
  if (share < -0.05 || share > 1.05) rest();
  else show(nearest(share));
}

function step(event) {
  const keys = stops.flatMap((stop, index) => (stop.key ? [index] : []));
  const after = keys.find((index) => index > at);
  const before = keys.findLast((index) => index < at);
  const next = { ArrowRight: after ?? keys.at(-1), ArrowLeft: before ?? keys[0], Home: keys[0], End: keys.at(-1) }[event.key];
  if (event.key === "Escape") rest();
  if (next === undefined) return;
  event.preventDefault();
  show(next);
}

plot.addEventListener("pointermove", point);
plot.addEventListener("pointerdown", point);
plot.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && rest());
plot.addEventListener("keydown", step);
plot.addEventListener("blur", rest);
for (const input of document.querySelectorAll(".choices input")) {
  input.addEventListener("change", () => at >= 0 && show(at));
}
addEventListener("resize", () => at >= 0 && show(at));
readout.hidden = false;
rest();
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((one) => (one.open = true)));

// A link into a folded table opens it.
function unfold() {
  document.getElementById(decodeURIComponent(location.hash.slice(1)))?.closest("details")?.setAttribute("open", "");
}
addEventListener("hashchange", unfold);
unfold();
