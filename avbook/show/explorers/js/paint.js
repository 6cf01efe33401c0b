// Painting of predictions in time, for AVE and LLP: what is painted for each clip, a grid of cells
// for mouse, touch and keys, and what the last stroke changed.
//
// A painting is a list of lanes, each with a whole number for each segment: one lane of class
// indices for AVE, a lane of zeros and ones for each class and modality for LLP.
import { announcement, choice, element } from "./core.js";

const copyOf = (lanes) => lanes.map((lane) => [...lane]);
const isSame = (one, other) => one.every((lane, k) => lane.every((value, at) => value === other[k][at]));

// ------------------------------------------------------------------------------------------ easel
// The paintings of all clips, with undo, and the controls that both explorers have: the clip, the
// predictions to start from (`presets` of a clip) and the line that says what a stroke did.
// `scores(paintings, clips)` gives figures by name, `summary(here, before)` says the main ones,
// `draw(isNew)` draws the clip, anew where it is another one.
export function easel({ clips, scores, summary, draw }) {
  const paintings = clips.map((clip) => copyOf(clip.presets[0].lanes));
  const touched = new Set(), past = [], said = announcement();
  let clip = 0, before = null;

  const picker = choice({
    label: "clip", options: clips.map((one) => one.name),
    changed(to) { clip = to; before = null; draw(true); tell(""); },
  });
  const buttons = clips[0].presets.map(({ name }, index) =>
    element("button", { type: "button", onclick: () => start(index) }, name));
  const undo = element("button", { type: "button", onclick: takeBack }, "undo");
  const group = element("div", { role: "group", "aria-label": "start from", className: "presets" }, ...buttons, undo);
  const presets = element("div", { className: "control" }, element("span", { "aria-hidden": "true" }, "start from"), group);

  function figures() {
    const all = [...touched].sort((one, other) => one - other);
    return {
      here: scores([paintings[clip]], [clips[clip]]),
      all: all.length ? scores(all.map((n) => paintings[n]), all.map((n) => clips[n])) : {},
      painted: all.length,
    };
  }
  function begin() {
    past.push({ clip, lanes: copyOf(paintings[clip]), isFirst: !touched.has(clip) });
    before = figures();
    touched.add(clip);
  }
  function goBack() {
    const last = past.pop();
    paintings[last.clip] = last.lanes;
    if (last.isFirst) touched.delete(last.clip);
    clip = last.clip;
    picker.set(clip);
  }
  function cancel() { // of a stroke that was begun
    goBack();
    before = null;
    draw(false);
  }
  function takeBack() {
    const isOther = past[past.length - 1].clip !== clip;
    goBack();
    before = null;
    draw(isOther);
    tell("Taken back. ");
  }
  function start(index) {
    const { lanes, words } = clips[clip].presets[index];
    begin();
    paintings[clip] = copyOf(lanes);
    draw(false);
    tell(`${words} `);
  }
  function tell(words) {
    said.say(words + summary(figures().here, before?.here ?? null));
  }
  function update() { // the buttons
    undo.disabled = !past.length;
    clips[clip].presets.forEach(({ lanes }, index) => {
      buttons[index].disabled = lanes === null;
      buttons[index].setAttribute("aria-pressed", lanes !== null && isSame(lanes, paintings[clip]));
    });
  }
  return {
    picker: picker.node, presets, said, begin, cancel, tell, figures, update,
    get clip() { return clips[clip]; },
    get ours() { return paintings[clip]; },
    get before() { return before; },
  };
}

// ------------------------------------------------------------------------------------------- grid
// The cells of the shown clip, a row of them for each lane: `show(cell, lane, at)` draws one,
// `brush(lane, at)` gives what a stroke that begins there paints, `painted(stroke)` is called at
// each step, `finished(stroke)` at the end with {lane, from, to, value}.
export function paintGrid({ work, brush, show, painted, finished }) {
  const lanes = work.ours.length, columns = work.ours[0].length, focus = { lane: 0, at: 0 };
  let stroke = null;
  const cells = work.ours.map((line, lane) => line.map((_, at) => {
    const cell = element("div", { className: "cell paint", role: "gridcell", tabIndex: -1 });
    cell.addEventListener("focus", () => enter(lane, at));
    return cell;
  }));

  function enter(lane, at) { // the one cell that the Tab key reaches
    cells[focus.lane][focus.at].tabIndex = -1;
    Object.assign(focus, { lane, at });
    cells[lane][at].tabIndex = 0;
  }
  function update() {
    cells.forEach((line, lane) => line.forEach((cell, at) => show(cell, lane, at)));
  }

  function begin(lane, at, value = brush(lane, at)) {
    work.begin();
    stroke = { lane, value, last: at, from: at, to: at, isPainted: false };
  }
  function reach(at) { // with the cells that a fast pointer has skipped
    const [low, high] = [Math.min(at, stroke.last), Math.max(at, stroke.last)];
    work.ours[stroke.lane].fill(stroke.value, low, high + 1);
    stroke = { ...stroke, last: at, from: Math.min(stroke.from, low), to: Math.max(stroke.to, high), isPainted: true };
    update();
    painted();
  }
  function end() {
    const done = stroke;
    stroke = null;
    finished(done);
  }

  function listen(node, lane) {
    const column = ({ clientX }) => {
      const { left, width } = node.getBoundingClientRect();
      return Math.min(columns - 1, Math.max(0, Math.floor(((clientX - left) / width) * columns)));
    };
    const isOurs = (event) => stroke !== null && stroke.pointer === event.pointerId;
    node.addEventListener("pointerdown", (event) => {
      if (stroke !== null || event.button !== 0) return;
      begin(lane, column(event));
      stroke.pointer = event.pointerId;
      node.setPointerCapture(event.pointerId);
      // a finger may be about to scroll: its cell is painted when it moves sideways or is lifted
      if (event.pointerType !== "touch") reach(column(event));
    });
    node.addEventListener("pointermove", (event) => {
      if (isOurs(event) && !(stroke.isPainted && column(event) === stroke.last)) reach(column(event));
    });
    node.addEventListener("pointerup", (event) => {
      if (!isOurs(event)) return;
      if (!stroke.isPainted) reach(column(event));
      end();
    });
    node.addEventListener("pointercancel", (event) => {
      if (!isOurs(event)) return;
      stroke = null;
      work.cancel();
    });
    node.addEventListener("keydown", press);
  }

  const STEPS = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0], Home: [0, -columns], End: [0, columns] };
  const within = (value, count) => Math.min(count - 1, Math.max(0, value));
  function press(key) {
    const { lane, at } = focus;
    const isPaint = key.key === " " || key.key === "Enter";
    if (key.ctrlKey || key.altKey || key.metaKey || (!isPaint && !STEPS[key.key])) return;
    key.preventDefault();
    if (stroke !== null) return; // a pointer is painting
    if (isPaint) {
      begin(lane, at);
      reach(at);
      end();
      return;
    }
    const [down, right] = STEPS[key.key];
    const next = { lane: within(lane + down, lanes), at: within(at + right, columns) };
    cells[next.lane][next.at].focus();
    if (!key.shiftKey || next.lane !== lane || next.at === at) return;
    begin(lane, at, work.ours[lane][at]); // Shift carries the cell's value along
    reach(next.at);
    end();
  }

  const nodes = cells.map((line, lane) => {
    const node = element("div", { className: "cells" }, ...line);
    listen(node, lane);
    return node;
  });
  cells[0][0].tabIndex = 0;
  update();
  return { lanes: nodes, update };
}

// The row of a lane, as part of a grid.
export function paintRow(name, ...content) {
  return element("div", { className: "row", role: "row" },
    element("div", { className: "label", role: "rowheader" }, ...[name].flat()),
    content.length === 1 ? content[0] : element("div", {}, ...content));
}

// ---------------------------------------------------------------------------------------- figures
export function percent(value) {
  return Number.isNaN(value) ? "undefined" : `${value.toFixed(1)} %`;
}

// What a stroke changed, such as "+10.0"; empty where nothing changed at this precision.
export function change(value, before) {
  if (before === undefined || Number.isNaN(value) || Number.isNaN(before)) return "";
  const by = (value - before).toFixed(1);
  return Number(by) === 0 ? "" : by.replace(/^(?!-)/, "+").replace("-", "−");
}

// A cell of a table: the figure in percent, below it what the last stroke changed.
export function figureCell(value, before) {
  const cell = element("td", { className: "number figure" });
  if (value === undefined) return cell;
  const by = change(value, before);
  cell.append(Number.isNaN(value) ? "–" : value.toFixed(1));
  if (by) cell.append(element("span", { className: by[0] === "+" ? "change up" : "change down" }, by));
  return cell;
}

// A text with the figures of a stroke, such as "accuracy 70.0 % (+10.0)".
export function told(name, value, before) {
  const by = change(value, before);
  return `${name} ${percent(value)}${by ? ` (${by})` : ""}`;
}

// Segments from..to in words.
export function span(from, to) {
  return from === to ? `Segment ${from}` : `Segments ${from} to ${to}`;
}
