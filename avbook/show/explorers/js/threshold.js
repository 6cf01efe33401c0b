// PSP's threshold τ: the pairs of segments that survive it, and the prediction that follows.
import { announcement, choice, drawn, element, framesRow, labelRow, palette, plot, radio, secondsRow, slider, start, title } from "./core.js";

// Eqs. 1 and 2 in the released code's form: shares that exceed τ, divided by their row's sum.
export function threshold(beta, tau) {
  return beta.map((row) => {
    const kept = row.map((share) => (share > tau ? share : 0));
    const sum = kept.reduce((total, share) => total + share, 0) + 1e-8;
    return kept.map((share) => share / sum);
  });
}

function build(frame, data) {
  const { clips, names, taus, test, paper } = data;
  const state = { clip: 0, tau: paper, direction: 0, segment: 0 };
  const STREAMS = ["visual", "audio"];

  const clip = choice({ label: "test clip", options: clips.map((one) => one.name), changed(to) { state.clip = to; draw(); } });
  const direction = radio({
    label: "who receives", options: ["visual segments", "audio segments"],
    changed(to) { state.direction = to; draw(); },
  });
  const tau = slider({
    label: "threshold τ", min: taus[0], max: taus[taus.length - 1], step: taus[1] - taus[0], value: paper,
    format: (value) => value.toFixed(3) + (Math.abs(value - paper) < 1e-9 ? " (the paper's)" : ""),
    changed(to) { state.tau = to; draw(); },
  });
  const segment = slider({
    label: "receiving segment", min: 0, max: clips[0].truth.length - 1, step: 1, value: 0,
    format: (value) => `${value}`, changed(to) { state.segment = to; draw(); },
  });
  const said = announcement();
  const before = element("div"), after = element("div"), rows = element("div", { className: "rows" });
  const sends = element("p"), key = element("p", { className: "soft" }), chart = plot(lines);
  frame.append(
    element("div", { className: "bar" }, clip.node, direction.node),
    element("div", { className: "bar" }, tau.node, segment.node),
    said.node, element("div", { className: "panels" }, before, after), sends, rows,
    title(`All ${test.clips} test clips`), chart.node, key);

  function step(at) { // index of τ among those for which predictions are stored
    return Math.min(taus.length - 1, Math.max(0, Math.round((at - taus[0]) / (taus[1] - taus[0]))));
  }

  function pairs(name, values, crossed, event) {
    const receives = STREAMS[state.direction], gives = STREAMS[1 - state.direction];
    const kept = values.flat().filter((value) => value > 0).length;
    const map = element("div", {
      className: "map", role: "img",
      "aria-label": `${name}: ${kept} of ${values.flat().length} pairs above zero. Rows: ${receives} segments, columns: ${gives} segments.`,
    });
    map.style.setProperty("--columns", values.length);
    const axis = (at) => element("div", { className: event[at] ? "axis event" : "axis" }, String(at));
    map.append(element("div", { className: "axis" }), ...values.map((_, at) => axis(at)));
    values.forEach((line, row) => {
      map.append(axis(row), ...line.map((value, column) => {
        const cell = element("div", { className: row === state.segment ? "pair chosen" : "pair" });
        if (value > 0) cell.style.backgroundColor = `rgba(var(--share), ${Math.min(1, value / 0.3).toFixed(3)})`;
        if (crossed[row][column]) cell.append(element("span", { className: "wrong" }, "×"));
        cell.title = `${receives} ${row}, ${gives} ${column}: ${value.toFixed(3)}`;
        cell.addEventListener("click", () => { state.segment = row; segment.set(row); draw(); });
        return cell;
      }));
    });
    return [
      title(name), map,
      element("small", {}, `rows: ${receives} segments that receive; columns: ${gives} segments; underlined: event`),
    ];
  }

  function draw() {
    const one = clips[state.clip];
    const beta = state.direction === 0 ? one.beta_va : one.beta_av;
    const gamma = threshold(beta, state.tau);
    const removed = beta.map((line) => line.map((share) => share <= state.tau));
    const event = one.truth.map((label) => label < names.length);
    before.replaceChildren(...pairs("β: shares of all pairs (× is removed)", beta, removed, event));
    after.replaceChildren(...pairs("γ: what is propagated", gamma, beta.map((line) => line.map(() => false)), event));

    const predicted = one.predicted[step(state.tau)];
    const right = predicted.filter((label, at) => label === one.truth[at]).length;
    const kept = gamma.flat().filter((value) => value > 0).length;
    const empty = gamma.filter((line) => line.every((value) => value === 0)).length;
    said.say(`τ = ${state.tau.toFixed(3)}: ${kept} of ${beta.flat().length} pairs kept, ${empty} segments receive nothing; `
      + `${right} of ${predicted.length} segments correct.`);

    const given = gamma[state.segment]
      .map((value, at) => ({ value, at })).filter(({ value }) => value > 0)
      .sort((first, second) => second.value - first.value)
      .map(({ value, at }) => `${at} (${(100 * value).toFixed(0)} %)`);
    const [receives, gives] = [STREAMS[state.direction], STREAMS[1 - state.direction]];
    sends.textContent = given.length
      ? `${receives[0].toUpperCase()}${receives.slice(1)} segment ${state.segment} receives from ${gives} segments ${given.join(", ")}.`
      : `${receives[0].toUpperCase()}${receives.slice(1)} segment ${state.segment} receives nothing.`;

    const colours = palette(names);
    rows.replaceChildren(
      one.frames ? framesRow("frames", one.frames, one.truth.length, `${one.truth.length} frames of the clip`) : "",
      labelRow({ name: "ground truth", labels: one.truth, names, colours }),
      labelRow({ name: "PSP", labels: predicted, names, colours, truth: one.truth }),
      secondsRow(one.truth.length), colours.legend());
    const at = step(state.tau);
    key.textContent = `Solid: segment accuracy, ${test.accuracy[at].toFixed(1)} %. Dashed: pairs kept, ${test.kept[at].toFixed(0)} %.`;
    chart.redraw();
  }

  // Accuracy and kept pairs over τ, with a line at the chosen τ.
  function lines(width) {
    const [height, left, right, top, bottom] = [190, 46, 16, 8, 40];
    const last = taus[taus.length - 1];
    const x = (value) => left + ((value - taus[0]) / (last - taus[0])) * (width - left - right);
    const y = (value) => top + (1 - value / 100) * (height - top - bottom);
    const path = (values) => values.map((value, at) => `${at ? "L" : "M"}${x(taus[at]).toFixed(1)} ${y(value).toFixed(1)}`).join("");
    const line = (values, look) => drawn("path", { d: path(values), fill: "none", "stroke-width": 2.5, ...look });
    const svg = drawn("svg", {
      viewBox: `0 0 ${width} ${height}`, role: "img",
      "aria-label": "Accuracy and pairs kept over all test clips, by threshold; the values at the chosen one stand below",
    });
    for (const value of [0, 50, 100]) {
      svg.append(drawn("line", { x1: left, x2: width - right, y1: y(value), y2: y(value), stroke: "var(--line)" }),
        drawn("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, `${value} %`));
    }
    for (const value of taus.filter((_, index) => index % 10 === 0)) {
      svg.append(drawn("text", { x: x(value), y: height - bottom + 18, "text-anchor": "middle" }, value.toFixed(2)));
    }
    svg.append(
      line(test.kept, { stroke: "var(--colour-3)", "stroke-dasharray": "7 4" }),
      line(test.accuracy, { stroke: "var(--colour-0)" }),
      drawn("line", { x1: x(state.tau), x2: x(state.tau), y1: top, y2: height - bottom, stroke: "var(--mark)", "stroke-width": 2 }),
      drawn("text", { x: width - right, y: height - 4, "text-anchor": "end" }, "threshold τ"));
    return svg;
  }

  draw();
}

start("threshold", build);
