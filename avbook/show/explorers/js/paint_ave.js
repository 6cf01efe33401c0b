// AVE: a reader paints one class for each segment, and sees what each score makes of it.
import { element, framesRow, inWords, palette, radio, row, secondsRow, start } from "./core.js";
import { aveCounts, aveScores } from "./metrics.js";
import { easel, figureCell, paintGrid, paintRow, span, told } from "./paint.js";

// The figures in the order of the table, each with what it counts in one clip.
const FIGURES = {
  accuracy: ["accuracy", ({ correct, segments }) => `${correct} of ${segments} segments correct, background is a class`],
  accuracy_with_background: ["accuracy, clips with background", ({ correct, segments, backgroundTrue }) =>
    (backgroundTrue ? `${correct} of ${segments}: this clip contains background` : "no background in this clip: it is left out")],
  event_accuracy: ["event accuracy", ({ eventHits, eventTrue }) =>
    (eventTrue ? `${eventHits} of ${eventTrue} event segments have the true category` : "no event in this clip")],
  category_accuracy: ["category accuracy", ({ category, trueCategory }, names) =>
    (trueCategory < 0 ? "no event in this clip: it is left out"
      : `most frequent category: predicted ${names[category] ?? "none"}, true ${names[trueCategory]}`)],
  background_recall: ["background recall", ({ backgroundHits, backgroundTrue }) =>
    (backgroundTrue ? `${backgroundHits} of ${backgroundTrue} background segments found` : "no background in this clip")],
  background_precision: ["background precision", ({ backgroundHits, backgroundPredicted }) =>
    (backgroundPredicted ? `${backgroundHits} of ${backgroundPredicted} segments predicted as background are background` : "no segment is predicted as background")],
  mean_iou: ["mean IoU", ({ intersection, union, eventTrue }) =>
    (eventTrue ? `${intersection} segments in both spans, ${union} in either; the category does not matter` : "no event in this clip: it is left out")],
  category_only_oracle: ["category everywhere", ({ eventTrue, segments }) =>
    `${eventTrue} of ${segments}: what the true category in all segments would score`],
  always_background: ["background everywhere", ({ backgroundTrue, segments }) =>
    `${backgroundTrue} of ${segments}: what background in all segments would score`],
};

function build(frame, data) {
  const { clips, names } = data;
  const background = names.length, brushes = [...names, "background"];
  const number = (index) => (index === background ? 0 : index + 1); // the key that chooses it
  const colours = palette(names);
  names.forEach((_, index) => colours.of(index));
  let grid = null;

  const work = easel({
    clips,
    scores: (paintings, some) => aveScores(paintings.map(([lane]) => lane), some.map((clip) => clip.truth), background),
    summary: (here, before) => Object.entries({ Accuracy: "accuracy", "background recall": "background_recall", IoU: "mean_iou" })
      .map(([name, key]) => told(name, here[key], before?.[key])).join(", ") + ".",
    draw,
  });
  const brush = radio({
    label: "brush", options: brushes.map((name, index) => `${number(index)} ${name}`), changed() {},
  });
  [...brush.node.querySelectorAll("button")].forEach((button, index) => {
    const swatch = element("span", { className: "swatch", "aria-hidden": "true" });
    swatch.style.background = colours.of(index);
    button.prepend(swatch);
  });
  const rows = element("div", { className: "rows" }), scores = element("div");
  for (const node of [rows, brush.node]) node.addEventListener("keydown", (key) => {
    const index = brushes.findIndex((_, k) => String(number(k)) === key.key);
    if (index < 0 || key.ctrlKey || key.altKey || key.metaKey) return;
    brush.set(index);
    if (brush.node.contains(key.target)) brush.node.querySelectorAll("button")[index].focus();
  });
  frame.append(
    element("p", {}, "Choose a category and drag across the segments of your prediction; × marks a wrong one."),
    element("p", { className: "soft" }, "With keys: arrows move, Space paints, Shift with an arrow continues, digits choose the category."),
    element("div", { className: "bar" }, work.picker, brush.node),
    rows, element("div", { className: "bar" }, work.presets), work.said.node, scores);

  function tag(text, className = "tag") {
    return element("span", { className, "aria-hidden": "true" }, text);
  }
  function truthRow(truth) {
    const cells = truth.map((label) => {
      const cell = element("div", { className: "cell" }, label === background ? null : tag(number(label)));
      cell.style.backgroundColor = colours.of(label);
      return cell;
    });
    const words = { role: "img", "aria-label": `ground truth: ${inWords(truth, names)}` };
    return row("ground truth", element("div", { className: "cells", ...words }, ...cells));
  }
  function show(cell, lane, at) {
    const label = work.ours[lane][at], truth = work.clip.truth[at];
    cell.style.backgroundColor = colours.of(label);
    cell.setAttribute("aria-label", `segment ${at}, ground truth ${brushes[truth]}, prediction ${brushes[label]}`);
    cell.replaceChildren(...(label === background ? [] : [tag(number(label))]), ...(label === truth ? [] : [tag("×", "wrong")]));
  }

  function draw(isNew) {
    const { frames, truth } = work.clip;
    if (isNew) {
      grid = paintGrid({
        work, show, brush: () => brush.value, painted: () => draw(false),
        finished({ from, to, value }) { work.tell(`${span(from, to)}: ${brushes[value]}. `); },
      });
      rows.replaceChildren(
        frames ? framesRow("frames", frames, truth.length, `${truth.length} frames of the clip`) : "",
        truthRow(truth),
        element("div", { role: "grid", "aria-label": "your prediction" }, paintRow("your prediction", grid.lanes[0])),
        secondsRow(truth.length));
    }
    grid.update();
    work.update();
    scores.replaceChildren(table());
  }

  function table() {
    const { here, all, painted } = work.figures(), { before } = work;
    const counts = aveCounts(work.ours[0], work.clip.truth, background);
    return element("table", {},
      element("thead", {}, element("tr", {},
        element("th", { scope: "col" }, "score (%)"),
        element("th", { scope: "col", className: "number" }, "this clip"),
        element("th", { scope: "col", className: "number" }, `clips painted: ${painted}`))),
      element("tbody", {}, ...Object.entries(FIGURES).map(([key, [name, counted]]) => element("tr", {},
        element("th", { scope: "row" }, name, element("br"), element("small", {}, counted(counts, names))),
        figureCell(here[key], before?.here[key]), figureCell(all[key], before?.all[key])))));
  }

  draw(true);
  work.tell("");
}

start("paint_ave", build);
