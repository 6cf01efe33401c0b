// CMLCL's label contrast: the nearest and farthest clips of a clip, and their pull on its soft label.
import { contrastParts, descent, fit, fitAlong, meanOf, pullOn } from "./contrast.js";
import { announcement, choice, drawn, element, frameOf, plot, radio, slider, start, title } from "./core.js";

const STEPS = 30, SIZE = 4; // gradient steps on the clip's logits
const percent = (value) => `${(100 * value).toFixed(0)} %`;
const signed = (value, digits = 2) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(digits)}`;
const nats = (value) => `${value < 0 ? "−" : ""}${Math.abs(value).toFixed(3)}`;

// The first words of a category: "Male speech, man speaking" is long for a card.
export function shortName(text) {
  return text.split(",")[0];
}

// What is shown for a choice: both sets with cosines, which members are right for their set, soft
// labels, and the descent.
export function selected(data, { clip, vectors, head, k }) {
  const own = data.clips[clip], kind = data.shown[own][1];
  const { logs, favour } = data.heads[head];
  const label = (at) => logs[at].map((value) => -value / 100);
  const group = (which) => {
    const { clips, cosines } = data.vectors[vectors][which];
    return clips[clip].slice(0, k).map((at, place) => ({
      at, cosine: cosines[clip][place], label: label(at),
      right: (data.shown[at][1] === kind) === (which === "near"),
    }));
  };
  const near = group("near"), far = group("far");
  const labels = [near, far].map((members) => members.map((one) => one.label));
  const path = descent(label(own), ...labels, data.cap, STEPS, SIZE);
  return { own, kind, near, far, labels, path, favour: favour[clip] };
}

function build(frame, data) {
  const { clips, shown, names, vectors, heads, cap } = data;
  const state = { clip: 0, vectors: 0, head: 0, k: data.k, steps: 0 };
  const most = vectors[0].near.right.length;
  const count = (members) => members.filter((one) => one.right).length;
  let now, label, next; // what is shown, the clip's soft label, the pull on it
  const pull = (change) => (to) => { state[change] = to; update(); drawPull(); };
  const sets = (change) => (to) => { state[change] = to; update(); drawSets(); drawPull(); };

  function update() {
    now = selected(data, state);
    label = now.path[state.steps];
    next = pullOn(label, ...now.labels, cap, now.near.map((one) => one.right));
  }

  const clip = choice({
    label: "training clip", changed: sets("clip"),
    options: clips.map((at) => `${shown[at][0]}: ${names[shown[at][1]]}`),
  });
  const found = radio({ label: "neighbours by", options: vectors.map((one) => one.name), changed: sets("vectors") });
  const size = slider({ label: "K, clips in each set:", min: 1, max: most, step: 1, value: data.k, changed: sets("k") });
  const head = radio({ label: "cluster head", options: heads.map((one) => one.name), changed: pull("head") });
  const steps = slider({ label: "gradient steps on the clip's soft label:", min: 0, max: STEPS, step: 1, value: 0, changed: pull("steps") });
  const more = element("button", { type: "button" }, "one step more");
  more.addEventListener("click", () => {
    steps.set(Math.min(STEPS, state.steps + 1));
    pull("steps")(steps.value);
  });
  const said = announcement(), told = announcement();
  const own = element("div", { className: "cards" }), near = element("div"), far = element("div");
  const shares = plot(sharePlot), sharesKey = element("p", { className: "soft" });
  const terms = element("p"), soft = plot(softPlot), forces = plot(pullPlot), rows = element("div");
  const crowd = plot(crowdPlot), crowdKey = element("p", { className: "soft" });
  frame.append(
    element("p", {}, "Choose a clip and K, and see which clips become its two sets. Then go down to “The pull” and take steps."),
    element("div", { className: "bar" }, clip.node, found.node), element("div", { className: "bar" }, size.node),
    said.node, element("div", { className: "beside" }, own, element("div", {}, near, far)),
    element("p", { className: "soft" }, "✓ and a solid border: right for its set; × and a dashed border: wrong. The number is the cosine. Categories are shown to the reader only; the method has none."),
    part(title(`All ${data.all} training clips: share of each set that is right`), shares.node, sharesKey),
    element("hr"), title("The pull of the two sets on the clip's soft label"),
    element("div", { className: "bar" }, head.node), element("div", { className: "bar" }, steps.node, more),
    told.node, terms,
    part(title("Soft label: probability of each pseudo-category"), soft.node,
      element("p", { className: "soft" }, "Bars: now. Outline: before the first step.")),
    part(title("Next step: pull on each pseudo-category"), forces.node,
      element("ul", { className: "legend" }, legend("right"), legend("wrong"), legend("far"), legend("sum"))),
    part(title("Soft labels of the clip and of both sets"), rows),
    part(title(`All ${data.all} training clips: is the first step towards the own category?`), crowd.node, crowdKey));

  // ------------------------------------------------------------------------------------- the sets
  function card(at, words, look) {
    const image = data.frames
      ? frameOf(data.frames[Math.floor(at / data.sheet)], at % data.sheet) // its words stand below
      : element("div", { className: "blank" });
    return element("div", { className: `card ${look}` }, image,
      element("strong", {}, shortName(names[shown[at][1]])), element("br"), words);
  }

  function group(name, members, right, wrong) {
    return [
      title(`${name}: ${count(members)} of ${members.length} right`),
      element("div", { className: "cards" }, ...members.map((one) =>
        card(one.at, `${one.right ? `✓ ${right}` : `× ${wrong}`}, ${signed(one.cosine)}`, one.right ? "agrees" : "differs"))),
    ];
  }

  function drawSets() {
    own.replaceChildren(card(now.own, `clip ${shown[now.own][0]}`, "own"));
    near.replaceChildren(...group("Affinity set, the nearest", now.near, "same", "other"));
    far.replaceChildren(...group("Repulsion set, the farthest", now.far, "other", "same"));
    const overall = ["near", "far"].map((which) => vectors[state.vectors][which].right[state.k - 1].toFixed(0));
    said.say(`K = ${state.k}: ${count(now.near)} of the nearest have the clip's category, `
      + `${count(now.far)} of the farthest have another. Over all clips: ${overall[0]} % and ${overall[1]} %.`);
    sharesKey.textContent = `At K = ${state.k}: ${overall[0]} % of the nearest are of the same category (solid), `
      + `${overall[1]} % of the farthest are of another (dashed). Circles: nearest of this clip.`;
    shares.redraw();
  }

  // ------------------------------------------------------------------------------------- the pull
  function drawPull() {
    const parts = contrastParts(label, ...now.labels, cap);
    const before = contrastParts(now.path[0], ...now.labels, cap).loss;
    const [first, reached] = [fit(now.path[0], now.favour), fit(label, now.favour)];
    const rises = state.steps ? reached > first : fitAlong(label, now.favour, next.sum) > 0;
    const where = rises ? "towards its own category" : "away from its own category";
    told.say(state.steps
      ? `${state.steps} ${state.steps === 1 ? "step" : "steps"}: loss ${nats(before)} → ${nats(parts.loss)}. `
        + `The soft label moved ${where}: it fits those clips better than others by ${nats(reached)} nats (before: ${nats(first)}).`
      : `${count(now.near)} of ${state.k} near clips are right; the next step pulls it ${where}. Take steps to follow it.`);
    terms.textContent = `Loss of this clip: ${nats(parts.near)} (mean KL to the near) − ${nats(parts.far)} (mean KL to the far) = ${nats(parts.loss)} nats. `
      + `${parts.capped} of ${state.k} far clips are at the cap of ${cap.toFixed(2)} nats and no longer push.`;
    more.disabled = state.steps === STEPS;
    rows.replaceChildren(shareRows(parts));
    crowdText();
    for (const one of [soft, forces, crowd]) one.redraw();
  }

  // A line of cells for each soft label, darker where the probability is larger.
  function shareRows(parts) {
    const members = [
      { name: "the clip", label, number: "" },
      ...now.near.map((one, at) => ({ ...one, name: named("near", one, at), number: parts.attract[at].toFixed(2) })),
      ...now.far.map((one, at) => ({ ...one, name: named("far", one, at), number: parts.repel[at].toFixed(2) + (parts.repel[at] > cap ? " cap" : "") })),
    ];
    const most = Math.exp(Math.max(...now.labels.flat(2)));
    const head = [element("span", { className: "soft" }, "pseudo-category"),
      element("span", { className: "soft" }, `0 to ${label.length - 1}; full colour: ${percent(most)} and more`),
      element("span", { className: "soft number" }, "KL (nats)")];
    return element("div", { className: "shares" }, ...head, ...members.flatMap((one) => {
      const top = one.label.indexOf(Math.max(...one.label));
      const cells = one.label.map((value) => {
        const cell = element("div", { className: "cell" });
        cell.style.backgroundColor = `rgba(var(--share), ${Math.min(1, Math.exp(value) / most).toFixed(3)})`;
        return cell;
      });
      const words = `most probable: ${top} with ${percent(Math.exp(one.label[top]))}`;
      return [element("span", {}, one.name),
        element("div", { className: "cells", role: "img", "aria-label": words }, ...cells),
        element("span", { className: "number" }, one.number)];
    }));
  }

  function named(which, one, at) {
    return `${which} ${at + 1} ${one.right ? "✓" : "×"} ${shortName(names[shown[one.at][1]])}`;
  }

  // Clips by their number of right near ones: [how many clips, of how many the pull is right].
  function groups() {
    return heads[state.head].towards[state.vectors][state.k - 1];
  }

  function crowdText() {
    const right = count(now.near), [all, towards] = groups()[right];
    crowdKey.textContent = `Of the ${all} training clips with ${right} right near clips of ${state.k}, as this one, `
      + `the first step moves ${all ? percent(towards / all) : "none"} towards their own category.`;
  }

  // ------------------------------------------------------------------------------------- the plots
  function sharePlot(width) {
    const { near: nearest, far: farthest } = vectors[state.vectors];
    const axes = frameOfPlot(width, 180, 0, 100, "Share of nearest clips of the same category and of farthest clips of another, by K; the values at the chosen K stand above");
    const step = (width - axes.left - axes.right) / most;
    const x = (k) => axes.left + (k - 0.5) * step;
    const line = (values, look) => drawn("path", {
      d: values.map((value, at) => `${at ? "L" : "M"}${x(at + 1).toFixed(1)} ${axes.y(value).toFixed(1)}`).join(""),
      fill: "none", "stroke-width": 2.5, ...look,
    });
    for (const value of [0, 50, 100]) axes.level(value, `${value} %`);
    for (let k = 1; k <= most; k += 1) axes.word(x(k), String(k));
    const { near: members } = selected(data, { ...state, k: most });
    members.forEach((_, at) => axes.svg.append(drawn("circle", {
      cx: x(at + 1), cy: axes.y(100 * meanOf(members.slice(0, at + 1).map((one) => Number(one.right)))), r: 4,
      fill: "none", stroke: "var(--ink)", "stroke-width": 1.5,
    })));
    axes.svg.append(line(nearest.right, { stroke: "var(--colour-0)" }),
      line(farthest.right, { stroke: "var(--colour-3)", "stroke-dasharray": "7 4" }),
      drawn("line", { x1: x(state.k), x2: x(state.k), y1: axes.top, y2: axes.y(0), stroke: "var(--mark)", "stroke-width": 2 }));
    axes.name("K");
    return axes.svg;
  }

  function softPlot(width) {
    const [first, reached] = [now.path[0], label].map((logs) => logs.map(Math.exp));
    const most = Math.max(0.1, ...first, ...reached);
    const top = reached.indexOf(Math.max(...reached));
    const axes = frameOfPlot(width, 150, 0, most, `Soft label of the clip: most probable is pseudo-category ${top} with ${percent(reached[top])}`);
    const bar = columns(axes, width, reached.length);
    for (const value of [0, most / 2, most]) axes.level(value, percent(value));
    reached.forEach((value, at) => axes.svg.append(bar(at, 0, value, { fill: "var(--colour-0)" }),
      bar(at, 0, first[at], { fill: "none", stroke: "var(--ink)" })));
    return axes.svg;
  }

  function pullPlot(width) {
    const ordered = ["right", "wrong", "far"].map((name) => [name, next[name]]);
    const stacked = (sign) => Math.max(...next.sum.map((_, at) =>
      ordered.reduce((sum, [, values]) => sum + Math.max(0, sign * values[at]), 0)));
    const most = Math.max(1e-4, stacked(1), stacked(-1));
    const order = next.sum.map((_, at) => at).sort((a, b) => next.sum[b] - next.sum[a]);
    const axes = frameOfPlot(width, 190, -most, most, `Pull on each pseudo-category: ${order[0]} rises most, ${order[order.length - 1]} falls most`);
    const bar = columns(axes, width, next.sum.length);
    for (const value of [-most, 0, most]) axes.level(value, value ? signed(value, most < 0.1 ? 3 : 2) : "0");
    next.sum.forEach((total, at) => {
      const ends = { up: 0, down: 0 };
      for (const [name, values] of ordered) {
        const side = values[at] > 0 ? "up" : "down";
        axes.svg.append(bar(at, ends[side], ends[side] + values[at], LOOKS[name].look, LOOKS[name].wide));
        ends[side] += values[at];
      }
      axes.svg.append(drawn("path", { d: bar.across(at, total), stroke: "var(--ink)", "stroke-width": 2.5 }));
    });
    return axes.svg;
  }

  function crowdPlot(width) {
    const axes = frameOfPlot(width, 170, 0, 100, "Share of training clips that the first step moves towards their own category, by their number of right near clips; the value of this clip's group stands below");
    const bar = columns(axes, width, state.k + 1, 1);
    for (const value of [0, 50, 100]) axes.level(value, `${value} %`);
    groups().forEach(([all, towards], right) => {
      if (!all) return;
      const here = right === count(now.near);
      axes.svg.append(bar(right, 0, (100 * towards) / all, here
        ? { fill: "var(--colour-0)", stroke: "var(--mark)", "stroke-width": 3 }
        : { fill: "var(--colour-0)" }));
    });
    axes.name("right near clips");
    return axes.svg;
  }

  update();
  drawSets();
  drawPull();
}

// The parts of the pull differ in form, not in colour alone: filled, hollow, thin.
const LOOKS = {
  right: { name: "towards near clips of its category", look: { fill: "var(--colour-2)" }, wide: 0.8 },
  wrong: { name: "towards near clips of other categories (hollow)", look: { fill: "var(--ground)", stroke: "var(--bad)", "stroke-width": 1.5 }, wide: 0.7 },
  far: { name: "away from far clips (thin)", look: { fill: "var(--colour-0)" }, wide: 0.35 },
  sum: { name: "sum: above zero the logit rises", look: { fill: "var(--ink)" } },
};

function legend(name) {
  const swatch = element("span", { className: "swatch", "aria-hidden": "true" });
  const { fill, stroke } = LOOKS[name].look;
  swatch.style.background = fill;
  if (stroke) swatch.style.border = `2px solid ${stroke}`;
  if (name === "far") swatch.style.width = ".4em";
  if (name === "sum") Object.assign(swatch.style, { height: "3px", verticalAlign: ".25em" });
  return element("li", {}, swatch, LOOKS[name].name);
}

function part(...content) {
  return element("div", { className: "part" }, ...content);
}

// An empty plot between two values: the lines of its levels, words below it, the axis' name.
function frameOfPlot(width, height, from, to, words) {
  const [left, right, top, bottom] = [52, 8, 10, 38];
  const svg = drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": words });
  const y = (value) => top + (1 - (value - from) / (to - from)) * (height - top - bottom);
  const level = (value, text) => svg.append(
    drawn("line", { x1: left, x2: width - right, y1: y(value), y2: y(value), stroke: "var(--line)" }),
    drawn("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, text));
  const word = (x, text) => svg.append(drawn("text", { x, y: height - bottom + 16, "text-anchor": "middle" }, text));
  const name = (text) => svg.append(drawn("text", { x: width - right, y: height - 4, "text-anchor": "end" }, text));
  return { svg, left, right, top, y, level, word, name };
}

// Draws bars in equal columns, with the number of each (or of every third) below.
function columns(axes, width, count, every = 3) {
  const step = (width - axes.left - axes.right) / count;
  for (let at = 0; at < count; at += every) axes.word(axes.left + (at + 0.5) * step, String(at));
  if (every > 1) axes.name("pseudo-category");
  const bar = (at, from, to, look, wide = 0.8) => drawn("rect", {
    x: axes.left + (at + 0.5 - wide / 2) * step, width: wide * step,
    y: Math.min(axes.y(from), axes.y(to)), height: Math.abs(axes.y(from) - axes.y(to)), ...look,
  });
  bar.across = (at, value) => `M${axes.left + (at + 0.05) * step} ${axes.y(value)}h${0.9 * step}`;
  return bar;
}

start("neighbours", build);
