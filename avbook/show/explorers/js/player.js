// A clip that plays: the current frame, and below it frames, spectrogram, ground truth and
// predictions on one time axis with a cursor.
import { announcement, element, frameOf, framesRow, row, runs, showFrame, start } from "./core.js";
import { audioAddress } from "./audio.js";

// ---------------------------------------------------------------------------------------- playback
// The position in seconds: the audio's where it can be played, else that of a clock. `changed` is
// called whenever it moves, `failed` if the audio cannot be played.
export function playback({ seconds, audio, changed, failed }) {
  let player = null, usable = audio !== null;
  let on = false, at = 0, since = 0, speed = 1, muted = false;

  function position() {
    if (!on) return at;
    const reached = usable ? player.currentTime : at + (speed * (performance.now() - since)) / 1000;
    return Math.min(reached, seconds);
  }
  function ready() { // decoded when it is first wanted
    if (player || !usable) return;
    player = new Audio(audioAddress(audio));
    Object.assign(player, { muted, playbackRate: speed });
    player.addEventListener("pause", () => { if (on && !player.ended) pause(); }); // media keys
  }
  function play() {
    if (on) return;
    ready();
    if (at > seconds - 0.05) at = 0;
    document.dispatchEvent(new CustomEvent("avbook-plays", { detail: pause }));
    on = true;
    since = performance.now();
    if (usable) {
      player.currentTime = at;
      player.play().catch((error) => { if (error.name !== "AbortError") giveUp(); });
    }
    follow();
  }
  function giveUp() {
    at = position();
    since = performance.now();
    usable = false;
    failed();
  }
  function pause() {
    if (!on) return;
    at = position();
    on = false;
    if (player) player.pause();
    changed(at);
  }
  function follow() { // as long as it plays, whenever the browser draws
    if (!on) return;
    if (position() >= seconds || (usable && player.ended)) {
      pause();
      seek(seconds);
      return;
    }
    changed(position());
    requestAnimationFrame(follow);
  }
  function seek(to) {
    at = Math.max(0, Math.min(to, seconds));
    since = performance.now();
    if (player && on) player.currentTime = at;
    changed(at);
  }
  document.addEventListener("avbook-plays", ({ detail }) => { if (detail !== pause) pause(); });
  return {
    pause, position, seek,
    toggle() { if (on) pause(); else play(); },
    get playing() { return on; },
    set muted(to) { muted = to; if (player) player.muted = to; },
    set speed(to) {
      at = position();
      since = performance.now();
      speed = to;
      if (player) player.playbackRate = to;
    },
  };
}

// A data: address as one of the browser's own: short in every style that names it. On the site
// frames are files.
function blobAddress(address) {
  const [, kind, content] = address.match(/^data:([^;]+);base64,(.*)$/) ?? [];
  if (!content) return address;
  const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
  return URL.createObjectURL(new Blob([bytes], { type: kind }));
}

// ------------------------------------------------------------------------------------------ labels
// The class names of a row in a segment, such as "background" for none.
export function namedAt(one, at, keys) {
  const names = one.lanes.map((lane) => lane.labels[at]).filter((key) => key >= 0).map((key) => keys[key].name);
  return names.join(", ") || one.empty;
}

export function isWrongAt(one, at) {
  return one.lanes.some((lane) => lane.wrong && lane.wrong[at]);
}

// What the rows say of a segment, such as "Cat. Correct: PSP. AVEL: background."
export function toldAt(rows, at, keys) {
  const truth = rows.filter((one) => one.method < 0);
  const said = truth.map((one) => (truth.length > 1 ? `${one.name}: ` : "") + namedAt(one, at, keys));
  const sentences = truth.length ? [said.join("; ")] : [];
  const methods = rows.filter((one) => one.method >= 0);
  const right = methods.filter((one) => one.correct !== null && !isWrongAt(one, at));
  if (right.length) sentences.push(`Correct: ${right.map((one) => one.name).join(", ")}`);
  const others = methods.filter((one) => !right.includes(one));
  if (others.length) sentences.push(others.map((one) => `${one.name}: ${namedAt(one, at, keys)}`).join("; "));
  return sentences.map((sentence) => `${sentence}.`).join(" ");
}

// The segments around `at` in which the rows say the same: [first, after the last].
export function spanAt(rows, at, count) {
  const same = (one, other) => rows.every(({ lanes }) => lanes.every((lane) => lane.labels[one] === lane.labels[other]));
  let from = at, to = at + 1;
  while (from > 0 && same(from - 1, at)) from -= 1;
  while (to < count && same(to, at)) to += 1;
  return [from, to];
}

function build(frame, data) {
  const { keys, rows, seconds, methods } = data;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const shown = methods.map((name) => data.shown.includes(name));
  const sheet = data.frames && { ...data.frames, source: blobAddress(data.frames.source) };
  if (data.frames) frame.style.setProperty("--aspect", data.frames.aspect);
  const state = { segment: -1, failed: false };
  const said = announcement();
  const player = playback({
    seconds, audio: data.audio, changed: draw,
    failed() { state.failed = true; mute.hidden = true; tell(); },
  });

  // ---------------------------------------------------------------------------------- controls
  const play = element("button", { type: "button", className: "play" });
  play.addEventListener("click", () => player.toggle());
  const position = element("input", {
    type: "range", min: 0, max: seconds, step: 0.01, value: 0, "aria-label": "position in seconds",
  });
  position.addEventListener("input", () => player.seek(Number(position.value)));
  const time = element("span", { className: "number" });
  const mute = element("button", { type: "button", "aria-pressed": "false", hidden: !data.audio }, "Mute");
  mute.addEventListener("click", () => {
    const muted = mute.getAttribute("aria-pressed") !== "true";
    mute.setAttribute("aria-pressed", muted);
    player.muted = muted;
  });
  const SPEEDS = [0.25, 0.5, 1, 2];
  const speed = element("select", { "aria-label": "speed" }, ...SPEEDS.map((value) =>
    element("option", { value, selected: value === 1 }, `${value}× speed`)));
  speed.addEventListener("change", () => { player.speed = Number(speed.value); });
  const toggles = methods.map((name, method) => {
    const button = element("button", { type: "button", "aria-pressed": shown[method] }, name);
    button.addEventListener("click", () => {
      shown[method] = !shown[method];
      button.setAttribute("aria-pressed", shown[method]);
      drawRows();
      tell();
    });
    return button;
  });

  function keyed(key) {
    if (key.ctrlKey || key.metaKey || key.altKey) return;
    const step = key.shiftKey ? 0.1 : 1;
    const moves = { ArrowLeft: -step, ArrowDown: -step, ArrowRight: step, ArrowUp: step, Home: -seconds, End: seconds };
    if (key.key in moves && key.target === position) player.seek(player.position() + moves[key.key]);
    else if (key.key === " " && !key.target.matches("button, select")) player.toggle();
    else return;
    key.preventDefault();
  }
  frame.addEventListener("keydown", keyed);

  // --------------------------------------------------------------------------------- time axis
  const axis = element("div", { className: "rows axis-in-time" });
  const cursor = element("div", { className: "cursor", "aria-hidden": "true" });
  function seekTo(pointer) {
    const box = axis.querySelector(".cells").getBoundingClientRect();
    player.seek((seconds * (pointer.clientX - box.left)) / box.width);
  }
  let dragged = false;
  axis.addEventListener("pointerdown", (pointer) => {
    if (pointer.button || !pointer.target.closest(".cells")) return;
    dragged = true;
    axis.setPointerCapture(pointer.pointerId);
    seekTo(pointer);
  });
  axis.addEventListener("pointermove", (pointer) => { if (dragged) seekTo(pointer); });
  for (const end of ["pointerup", "pointercancel"]) axis.addEventListener(end, () => { dragged = false; });

  function colour(node, key) {
    node.style.backgroundColor = `var(--colour-${keys[key].colour})`;
    if (keys[key].hatch) [node.style.backgroundImage, node.style.backgroundSize] = keys[key].hatch;
    return node;
  }
  function laneOf(lane, named) {
    const node = element("div", { className: "lane" });
    node.style.setProperty("--columns", seconds);
    const parts = lane.strengths ? lane.labels.map((value, at) => ({ value, from: at, to: at + 1 })) : runs(lane.labels);
    for (const { value, from, to } of parts) {
      if (value < 0) continue;
      const bar = colour(element("div", { className: "bar-in-time" }, named ? element("span", {}, keys[value].name) : null), value);
      bar.style.gridColumn = `${from + 1} / ${to + 1}`;
      if (lane.strengths) bar.style.height = `${100 * lane.strengths[from]}%`;
      node.append(bar);
    }
    (lane.wrong ?? []).forEach((wrong, at) => {
      if (!wrong) return;
      const mark = element("div", { className: "mark-in-time" }, element("span", { className: "wrong" }, "×"));
      mark.style.gridColumn = `${at + 1} / ${at + 2}`;
      node.append(mark);
    });
    return node;
  }
  function rowOf(one) {
    const words = runs(Array.from({ length: seconds }, (_, at) => namedAt(one, at, keys)))
      .map(({ value, from, to }) => `${value} ${from}–${to} s`).join(", ");
    const score = one.correct === null ? "" : `${one.correct} of ${seconds} correct`;
    const lanes = one.lanes.map((lane) => laneOf(lane, one.correct === null));
    const cells = element("div", { className: "cells lanes", role: "img", "aria-label": `${one.name}: ${words}. ${score}` }, ...lanes);
    const node = row(one.name, cells);
    if (score) node.firstChild.append(element("small", {}, ` ${score}`));
    return node;
  }
  function secondsOf() {
    const step = [1, 2, 5, 10, 30, 60].find((one) => seconds / one <= 20) ?? 300;
    const marks = Array.from({ length: Math.ceil(seconds / step) }, (_, k) => {
      const mark = element("span", {}, String(k * step));
      mark.style.left = `${(100 * k * step) / seconds}%`;
      return mark;
    });
    return row("second", element("div", { className: "cells marks", "aria-hidden": "true" }, ...marks), "row seconds");
  }
  function spectrogram() {
    const images = ["light", "dark"].map((theme) => element("img", { src: data.mel[theme], alt: "", className: theme, draggable: false }));
    return row("spectrogram", element("div", {
      className: "cells mel", role: "img",
      "aria-label": "Log-mel spectrogram of the audio: time from left to right, low frequencies below",
    }, ...images));
  }
  const visible = () => rows.filter((one) => one.method < 0 || shown[one.method]);
  const streams = [
    sheet ? framesRow("frames", sheet, Math.min(seconds, 20), "Frames of the clip in order") : "",
    data.mel ? spectrogram() : "",
  ];
  function drawRows() {
    axis.replaceChildren(...streams, ...visible().map(rowOf), secondsOf(), cursor);
  }

  // ---------------------------------------------------------------------------------- position
  function tell() { // changes with the labels, not with the position: screen readers say it
    const [from, to] = spanAt(visible(), state.segment, seconds);
    const lost = state.failed ? " (The audio cannot be played here; the cursor runs without it.)" : "";
    said.say(`${from}–${to} s: ${toldAt(visible(), state.segment, keys)}${lost}`);
    position.setAttribute("aria-valuetext", `second ${state.segment}`);
  }
  function draw(at) {
    const to = still && player.playing ? Math.floor(at) : at;
    axis.style.setProperty("--at", to / seconds);
    if (sheet) showFrame(large, sheet, Math.min(sheet.count - 1, Math.floor((to / seconds) * sheet.count)));
    position.value = at;
    time.textContent = `${at.toFixed(1)} of ${seconds} s`;
    play.textContent = player.playing ? "Pause" : "Play";
    if (!player.playing) position.setAttribute("aria-valuetext", `${at.toFixed(1)} s`);
    const segment = Math.min(seconds - 1, Math.floor(at + 1e-6));
    if (segment === state.segment) return;
    state.segment = segment;
    tell();
    if (!player.playing) position.setAttribute("aria-valuetext", `${at.toFixed(1)} s`);
  }

  const large = sheet && frameOf(sheet, 0, "The current frame");
  if (large) large.addEventListener("click", () => player.toggle());
  const used = new Set(rows.flatMap((one) => one.lanes.flatMap((lane) => lane.labels)));
  const legend = element("ul", { className: "legend" }, ...keys.map((key, index) => (used.has(index)
    ? element("li", {}, colour(element("span", { className: "swatch", "aria-hidden": "true" }), index), key.name) : null))
    .filter((one) => one !== null));
  const compared = rows.some((one) => one.correct !== null);
  frame.append(
    element("div", { className: sheet ? "stage" : "" }, large, said.node,
      element("div", { className: "bar" }, play, mute, speed),
      methods.length > 1 ? element("div", { className: "control", role: "group", "aria-label": "predictions shown" },
        element("span", {}, "predictions shown"), element("div", { className: "toggles" }, ...toggles)) : null),
    element("div", { className: "position" }, position, time),
    axis, legend,
    element("p", { className: "soft" }, compared
      ? "× marks segments that differ from the ground truth. Click or drag in the rows to move; the space bar plays."
      : "Click or drag in the rows to move; the space bar plays."));
  drawRows();
  draw(0);
}

start("player", build);
