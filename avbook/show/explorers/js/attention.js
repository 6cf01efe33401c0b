// Audio-guided attention: the weights over a frame under any second of audio, beside those under
// the frame's own.
import { audioAddress } from "./audio.js";
import { announcement, choice, drawn, element, frameOf, radio, row, slider, start, title } from "./core.js";

const OWN = 0, SECOND = 1, CLIP = 2, ZEROS = 3; // the audio that guides
const PIXELS = 64; // of a position, as object masks are counted
const STRONG = 0.2; // attention at one position that is drawn in full colour

export function bytesOf(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

// The weights that begin at a byte: stored as square roots, so that small ones stay distinct.
export function weightsAt(bytes, positions, at) {
  const squares = Array.from(bytes.subarray(at * positions, (at + 1) * positions), (byte) => byte ** 2);
  const sum = squares.reduce((total, value) => total + value, 0);
  return squares.map((value) => value / sum);
}

// The share of the attention that lies on an object that covers so much (0 to 1) of each position.
export function attentionOn(weights, covered) {
  return weights.reduce((total, weight, at) => total + weight * covered[at], 0);
}

// The share of the attention that is elsewhere: half the sum of absolute differences.
export function attentionMoved(before, after) {
  return before.reduce((total, weight, at) => total + Math.abs(weight - after[at]), 0) / 2;
}

// The border of a mask of side × side bits as the path of an SVG, one unit a pixel: loops with the
// mask on their right, without those around a single pixel or two.
export function outlinePath(inside, side) {
  const on = (x, y) => x >= 0 && y >= 0 && x < side && y < side && inside[y * side + x];
  const steps = new Map(); // from a corner to the next ones
  const add = (from, to) => steps.set(`${from}`, [...(steps.get(`${from}`) ?? []), to]);
  for (let y = 0; y < side; y += 1) {
    for (let x = 0; x < side; x += 1) {
      if (!on(x, y)) continue;
      if (!on(x, y - 1)) add([x, y], [x + 1, y]);
      if (!on(x + 1, y)) add([x + 1, y], [x + 1, y + 1]);
      if (!on(x, y + 1)) add([x + 1, y + 1], [x, y + 1]);
      if (!on(x - 1, y)) add([x, y + 1], [x, y]);
    }
  }
  let path = "";
  for (const begin of steps.keys()) {
    const loop = [];
    for (let at = begin; steps.get(at)?.length; at = `${loop.at(-1)}`) loop.push(steps.get(at).pop());
    if (loop.length > 6) path += `M${loop.map(([x, y]) => `${x} ${y}`).join("L")}Z`;
  }
  return path;
}

// The stored clips with their bytes unpacked.
function unpack(one) {
  const seconds = one.frames.count;
  const zeros = bytesOf(one.zeros), maps = bytesOf(one.maps);
  const positions = zeros.length / seconds, side = Math.round(positions ** 0.5);
  return {
    ...one, seconds, side,
    weights(audio, second, frame) {
      return weightsAt(maps, positions, (audio * seconds + second) * seconds + frame);
    },
    guidedByZeros: (frame) => weightsAt(zeros, positions, frame),
    objects: one.objects.map((object) => {
      const cells = bytesOf(object.cells), bits = bytesOf(object.outline), pixels = (4 * side) ** 2;
      return {
        ...object,
        covered: (frame) => Array.from(cells.subarray(frame * positions, (frame + 1) * positions), (pixels) => pixels / PIXELS),
        outline: (frame) => outlinePath(Array.from({ length: pixels }, (_, at) => {
          const bit = frame * pixels + at;
          return Boolean((bits[bit >> 3] >> (7 - (bit & 7))) & 1);
        }), 4 * side),
      };
    }),
    sounds: one.objects.filter((object) => object.heard.some(Boolean)).map((object) => object.name),
  };
}

// The objects in view in a second: name, whether it sounds, and how much of each position it covers.
function inView(one, frame) {
  return one.objects
    .map((object) => ({
      name: `${object.name} (${object.heard[frame] ? "sounds" : "silent"})`,
      sounds: Boolean(object.heard[frame]), covered: object.covered(frame), outline: object.outline(frame),
    }))
    .filter(({ covered }) => covered.some((share) => share > 0));
}

const whole = (share) => `${Math.round(100 * share)} %`;

// Numbers in the cells of a grid whose side is `side` units of ten.
function numbers(texts, side) {
  return texts.map((text, at) => drawn("text", {
    x: 10 * (at % side) + 5, y: 10 * Math.floor(at / side) + 6.6, "text-anchor": "middle", class: "figure-number",
  }, text));
}

// A grey frame with what `paint` lays over it, and the outlines of objects.
function panel(name, one, frame, alt, objects, layers) {
  const box = element("div", { className: "over", role: "img", "aria-label": alt });
  const under = frameOf(one.frames, frame);
  const svg = drawn("svg", { viewBox: `0 0 ${10 * one.side} ${10 * one.side}`, "aria-hidden": "true" });
  for (const { sounds, outline } of objects) {
    const look = { d: outline, transform: `scale(${10 / 4})`, fill: "none" };
    svg.append(drawn("path", { ...look, class: "halo" }),
      drawn("path", { ...look, class: sounds ? "sounding" : "silent" }));
  }
  box.append(under, ...layers.filter((layer) => layer instanceof HTMLElement), svg);
  svg.append(...layers.filter((layer) => layer instanceof SVGElement));
  return element("div", {}, title(name), box);
}

// Attention as a smooth layer: one pixel a position, enlarged by the browser.
function smoothLayer(weights, side) {
  const canvas = element("canvas", { width: side, height: side });
  const context = canvas.getContext("2d");
  const image = context.createImageData(side, side);
  weights.forEach((weight, at) => image.data.set([255, 92, 0, 255 * depth(weight)], 4 * at));
  context.putImageData(image, 0, 0);
  return canvas;
}

const depth = (weight) => 0.85 * Math.min(1, weight / STRONG) ** 0.7;

function cellsLayer(fills, side) {
  return fills.map(({ colour, opacity }, at) => drawn("rect", {
    x: 10 * (at % side), y: 10 * Math.floor(at / side), width: 10, height: 10, fill: colour, "fill-opacity": opacity,
    stroke: "#fff", "stroke-opacity": 0.35, "stroke-width": 0.3,
  }));
}

// The loudness of a second, its peaks in percent, as upright bars.
function wave(peaks) {
  const svg = drawn("svg", { viewBox: `0 0 ${peaks.length} 20`, preserveAspectRatio: "none", "aria-hidden": "true" });
  peaks.forEach((peak, at) => {
    const high = Math.max(0.3, peak / 10);
    svg.append(drawn("rect", { x: at + 0.15, y: 10 - high, width: 0.7, height: 2 * high, fill: "var(--colour-0)" }));
  });
  return svg;
}

function build(frame, data) {
  const clips = data.clips.map(unpack);
  const { test } = data;
  const state = { clip: 0, second: 0, mode: CLIP, audio: 0, at: 0, grid: 0 };
  const last = clips[0].seconds - 1;

  const clip = choice({ label: "test clip", options: clips.map((one) => one.name), changed(to) { state.clip = to; offer(); draw(); } });
  const second = slider({
    label: "second of the frame", min: 0, max: last, step: 1, value: 0, format: (value) => `${value}`,
    changed(to) { state.second = to; draw(); },
  });
  const mode = radio({
    label: "audio that guides the attention", value: CLIP,
    options: ["its own second", "another second", "another clip", "zeros"],
    changed(to) { state.mode = to; draw(); },
  });
  const other = choice({ label: "clip of the audio", options: [], changed(to) { state.audio = others()[to]; draw(); } });
  const at = slider({
    label: "second of the audio", min: 0, max: last, step: 1, value: 0, format: (value) => `${value}`,
    changed(to) { state.at = to; draw(); },
  });
  const look = radio({ label: "draw as", options: ["smooth", "grid with %"], changed(to) { state.grid = to; draw(); } });
  const hear = element("button", { type: "button" }, "▶ hear this second");
  const player = element("audio", { preload: "auto" });
  hear.addEventListener("click", play);
  const said = announcement();
  const strip = element("div", { className: "cells" }), waves = element("div", { className: "cells" });
  const wavesRow = row("audio", waves, "row below"), maps = element("div");
  const table = element("div", { className: "apart" }), all = element("div", { className: "apart" });
  frame.append(
    element("p", {}, "Exchange the audio that guides the attention over a frame. Does the attention go to the object that the audio belongs to?"),
    element("div", { className: "bar" }, clip.node, second.node), row("frames", strip),
    element("div", { className: "bar", style: "margin-top: 12px" }, mode.node, other.node),
    element("div", { className: "bar" }, at.node, hear, player), wavesRow,
    said.node, element("div", { className: "bar" }, look.node, legend()), maps, table, all);

  // The clips whose audio may guide another clip's attention, and which of them has the class of an
  // object that is silent here.
  function others() { return clips.map((_, index) => index).filter((index) => index !== state.clip); }
  function isAlike(index) {
    return clips[state.clip].objects.some(({ name, heard }) => !heard.some(Boolean) && clips[index].sounds.includes(name));
  }
  function offer() {
    const list = others();
    state.audio = list.find(isAlike) ?? list[0];
    other.fill(list.map((index) => clips[index].name + (isAlike(index) ? " (the silent object's class)" : "")), list.indexOf(state.audio));
  }

  // The clip and the second of the audio; null for zeros.
  function guide() {
    if (state.mode === ZEROS) return null;
    if (state.mode === OWN) return { index: state.clip, at: state.second };
    return { index: state.mode === CLIP ? state.audio : state.clip, at: state.at };
  }

  let timer = 0, loaded = -1;
  function play() {
    const { index, at: from } = guide();
    if (loaded !== index) {
      URL.revokeObjectURL(player.src);
      player.src = audioAddress(clips[index].audio);
      loaded = index;
    }
    clearTimeout(timer);
    player.currentTime = from;
    player.play().then(() => { timer = setTimeout(() => player.pause(), 1000); });
  }

  function drawStrips(one, by) {
    strip.replaceChildren(...Array.from({ length: one.seconds }, (_, index) => {
      const cell = frameOf(one.frames, index);
      if (index === state.second) cell.classList.add("chosen");
      cell.style.cursor = "pointer";
      cell.addEventListener("click", () => { state.second = index; second.set(index); draw(); });
      return cell;
    }));
    wavesRow.hidden = by === null;
    if (by === null) return;
    wavesRow.firstChild.textContent = `audio of clip ${clips[by.index].row}`;
    waves.replaceChildren(...Array.from({ length: one.seconds }, (_, index) => {
      const cell = element("div", { className: index === by.at ? "cell wave chosen" : "cell wave" });
      cell.append(wave(clips[by.index].peaks[index]));
      cell.addEventListener("click", () => {
        if (state.mode === OWN) { state.mode = SECOND; mode.set(SECOND); }
        state.at = index;
        at.set(index);
        draw();
      });
      return cell;
    }));
  }

  function drawMaps(one, own, weights, objects) {
    const { side } = one;
    const onThem = (values) => objects.map(({ name, covered }) => `${whole(attentionOn(values, covered))} on ${name}`).join(", ");
    const paint = (values) => (state.grid
      ? [...cellsLayer(values.map((weight) => ({ colour: "rgb(255, 92, 0)", opacity: depth(weight) })), side),
        ...numbers(values.map((weight) => (weight >= 0.005 ? Math.round(100 * weight) : "")), side)]
      : [smoothLayer(values, side)]);
    const change = weights.map((weight, index) => weight - own[index]);
    const signed = change.map((value) => {
      const points = Math.round(100 * value);
      return points > 0 ? `+${points}` : points < 0 ? `−${-points}` : "";
    });
    const fills = change.map((value) => ({
      colour: value > 0 ? "#0072b2" : "#a33f00", opacity: 0.85 * Math.min(1, Math.abs(value) / STRONG) ** 0.7,
    }));
    const moved = attentionMoved(own, weights);
    maps.className = state.grid ? "maps large" : "maps";
    maps.replaceChildren(
      panel("its own audio", one, state.second, `Attention under the frame's own audio: ${onThem(own)}`, objects, paint(own)),
      panel("the chosen audio", one, state.second, `Attention under the chosen audio: ${onThem(weights)}`, objects, paint(weights)),
      panel("difference (% points)", one, state.second,
        `Chosen minus own: ${whole(moved)} of the attention moves`, objects,
        [...cellsLayer(fills, side), ...numbers(signed, side)]));
  }

  function drawShares(own, weights, objects) {
    const rest = own.map((_, index) => 1 - objects.reduce((total, { covered }) => total + covered[index], 0));
    const cells = (name, covered) => element("tr", {}, element("th", { scope: "row" }, name),
      ...[covered.reduce((total, share) => total + share, 0) / covered.length, attentionOn(own, covered), attentionOn(weights, covered)]
        .map((share) => element("td", { className: "number" }, whole(share))));
    table.replaceChildren(numbersTable(["in this frame", "covers", "attention, own audio", "attention, chosen audio"],
      [...objects.map(({ name, covered }) => cells(name, covered)), cells("the rest", rest)]));
  }

  function drawAll() {
    const now = { [OWN]: 0, [SECOND]: 1, [CLIP]: isAlike(state.audio) ? 3 : 2, [ZEROS]: 4 }[state.mode];
    const percent = (value) => element("td", { className: "number" }, value === null ? "–" : `${value.toFixed(1)} %`);
    all.replaceChildren(
      title(`All ${test.clips} test clips`),
      numbersTable(["audio from", "attention that moves", "on the object that sounds", "on the silent object"], test.lines.map((line, index) =>
        element("tr", index === now ? { className: "now", "aria-current": "true" } : {},
          element("th", { scope: "row" }, (index === now ? "▸ " : "") + line.name),
          percent(line.moves), percent(line.sounding), percent(line.silent)))),
      element("p", { className: "soft" }, `Moves: mean over ${test.segments} event segments. On the objects: mean over ${test.both[1]} seconds of ${test.both[0]} clips with a sounding and a silent object in view, which cover ${test.covered.map((value) => value.toFixed(0)).join(" % and ")} % of the frame. ▸: the kind of audio chosen above.`));
  }

  function draw() {
    const one = clips[state.clip], by = guide(), objects = inView(one, state.second);
    const own = one.weights(state.clip, state.second, state.second);
    const weights = by ? one.weights(by.index, by.at, state.second) : one.guidedByZeros(state.second);
    other.node.hidden = state.mode !== CLIP;
    at.node.hidden = state.mode === OWN || state.mode === ZEROS;
    hear.disabled = by === null;
    drawStrips(one, by);
    drawMaps(one, own, weights, objects);
    drawShares(own, weights, objects);
    drawAll();
    const first = `Frame ${state.second} of clip ${one.row}`;
    const from = by === null ? "zeros as audio" : `audio of second ${by.at} of clip ${clips[by.index].row}`;
    const parts = objects.map(({ name, covered }) => (state.mode === OWN
      ? `${whole(attentionOn(own, covered))} of the attention on ${name}`
      : `${name} ${whole(attentionOn(own, covered))} → ${whole(attentionOn(weights, covered))}`));
    const seen = parts.length ? parts.join(", ") : "no object in view";
    said.say(state.mode === OWN ? `${first}, its own audio: ${seen}.`
      : `${first}, ${from}: ${whole(attentionMoved(own, weights))} of the attention moves; ${seen}.`);
  }

  offer();
  draw();
}

function numbersTable(names, rows) {
  const heads = names.map((name, index) => element("th", { scope: "col", className: index ? "number" : "" }, name));
  return element("table", {}, element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...rows));
}

function legend() {
  const line = (kind) => {
    const svg = drawn("svg", { viewBox: "0 0 30 8", class: "key", "aria-hidden": "true" });
    svg.append(drawn("path", { d: "M0 4h30", class: "halo" }), drawn("path", { d: "M0 4h30", class: kind }));
    return svg;
  };
  const ramp = element("span", { className: "ramp", "aria-hidden": "true" });
  return element("ul", { className: "legend" },
    element("li", {}, ramp, `attention at a position, 0 to ${whole(STRONG)} and more`),
    element("li", {}, line("sounding"), "object that sounds"), element("li", {}, line("silent"), "silent object"));
}

start("attention", build);
