// Tooltips for the curves; their texts come with the page. Without this script, each point has its own title.
"use strict";

const { names, tooltips } = JSON.parse(document.getElementById("numbers").textContent);
const plot = document.getElementById("plot");
const readout = document.getElementById("readout");
const NEAR = 0.025; // of the axis: measured sizes attract the pointer

let current = -1; // the index of the visible tooltip

for (const title of plot.querySelectorAll("title")) title.remove();
plot.tabIndex = 0;
plot.setAttribute("role", "group");
plot.setAttribute("aria-label", "Learning curves: the arrow keys move from size to size");

const drawing = () => [...plot.querySelectorAll("svg")].find((one) => getComputedStyle(one).display !== "none");
const shown = (index) => document.getElementById(`show-${index}`).checked;
const view = () => (document.getElementById("view-accuracy").checked ? "accuracy" : "error");

function make(name, content, className = "") {
  const made = Object.assign(document.createElement(name), { className });
  made.append(...content);
  return made;
}

function numbers(row) {
  if (!row) return ["no data"];
  const which = view() === "error" ? 0 : 1;
  const seeds = row.seeds ? [make("small", [`seeds: ${row.seeds.map((one) => one[which]).join(", ")}`])] : [];
  const note = row.note ? [make("small", [row.note])] : [];
  return [row[view()], ...seeds, ...note];
}

function show(index) {
  current = index;
  const tooltip = tooltips[index];
  const what = view() === "error" ? "test error" : "test accuracy";
  const columns = tooltip.rows.flatMap((row, place) =>
    shown(place) ? [make("div", [make("dt", [names[place]]), make("dd", numbers(row))], `c${place}`)] : [],
  );
  const leads = tooltip.pairs.filter((pair) => pair && pair.of.every((name) => shown(names.indexOf(name))));
  readout.replaceChildren(
    make("p", [make("strong", [tooltip.title]), ` · ${what}`]),
    make("dl", columns),
    ...leads.map((pair) => make("p", [pair.text])),
  );
  mark(tooltip.place);
}

// A vertical line at the size.
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

function reset() {
  current = -1;
  unmark();
  readout.replaceChildren(make("p", ["Point at the curves, or focus them and use the arrow keys, to see their numbers here."]));
}

function nearest(share) {
  const distance = (tooltip) => Math.abs(tooltip.place - share) - (tooltip.measured ? NEAR : 0);
  return tooltips.reduce((best, tooltip, index) => (distance(tooltip) < distance(tooltips[best]) ? index : best), 0);
}

function point(event) {
  const svg = drawing();
  const box = svg.getBoundingClientRect();
  const [left, right] = [Number(svg.dataset.left), Number(svg.dataset.right)];
  const share = ((event.clientX - box.left) / box.width - left) / (right - left);
  if (share < -0.05 || share > 1.05) reset();
  else show(nearest(share));
}

function step(event) {
  const keys = tooltips.flatMap((tooltip, index) => (tooltip.key ? [index] : []));
  const after = keys.find((index) => index > current);
  const before = keys.findLast((index) => index < current);
  const next = { ArrowRight: after ?? keys.at(-1), ArrowLeft: before ?? keys[0], Home: keys[0], End: keys.at(-1) }[event.key];
  if (event.key === "Escape") reset();
  if (next === undefined) return;
  event.preventDefault();
  show(next);
}

plot.addEventListener("pointermove", point);
plot.addEventListener("pointerdown", point);
plot.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && reset());
plot.addEventListener("keydown", step);
plot.addEventListener("blur", reset);
for (const input of document.querySelectorAll(".choices input")) {
  input.addEventListener("change", () => current >= 0 && show(current));
}
addEventListener("resize", () => current >= 0 && show(current));
readout.hidden = false;
reset();
