// MA's label refinement: two clips exchange their audio, and labels lose their support.
import { announcement, choice, element, frameOf, radio, runs, showFrame, slider, start, title } from "./core.js";
import { audioAddress } from "./audio.js";

// Eqs. 6 and 7: a label is kept unless both branches, divided by E_c, are below the threshold. A
// category without errors keeps its labels.
export function filterLabels(first, second, errors, threshold) {
  const low = (value, error) => error > 0 && value / error < threshold;
  return errors.map((error, at) => !(low(first[at], error) && low(second[at], error)));
}

// What the filter did to one label of a stream, in words; `present`: its event occurs in the stream.
export function outcome(kept, present, verb) {
  return { right: kept === present, did: kept ? "kept" : "dropped", why: present ? verb : `never ${verb}` };
}

// The seconds of a mask, such as "2–5 s, 8–10 s".
export function spansInWords(mask) {
  const found = runs(mask).filter(({ value }) => value).map(({ from, to }) => `${from}–${to}`);
  return found.length ? `${found.join(", ")} s` : "never";
}

// Frames in step with audio: a play button, the place in the clip, and the frames in a row. `load`
// gives it other frames and audio, `starts` is called when it begins to play.
function clipPlayer(seconds, starts) {
  const audio = new Audio();
  const frame = element("div"), strip = element("div");
  const button = element("button", { type: "button" });
  let sheet = null, words = "", large = null;
  const place = slider({
    label: "second", min: 0, max: seconds, step: 0.5, value: 0,
    format: (value) => value.toFixed(1), changed(to) { audio.currentTime = to; show(); },
  });
  const node = element("div", { role: "group" },
    element("div", { className: "player" }, frame, element("div", {}, button, place.node)), strip);

  function show() {
    if (!sheet) return;
    const at = Math.min(sheet.count - 1, Math.floor((audio.currentTime / seconds) * sheet.count));
    showFrame(large, sheet, at);
    const cell = Math.floor((at / sheet.count) * strip.firstChild.childElementCount);
    [...strip.firstChild.children].forEach((one, k) => one.classList.toggle("chosen", k === cell));
  }
  function tell() {
    button.textContent = audio.paused ? "▶ Play" : "❚❚ Pause";
    button.setAttribute("aria-label", `${audio.paused ? "Play" : "Pause"}: ${words}`);
  }
  function follow() {
    place.set(audio.currentTime);
    show();
    if (!audio.paused) requestAnimationFrame(follow);
  }
  button.addEventListener("click", () => {
    if (!audio.paused) { audio.pause(); return; }
    starts();
    audio.play().catch(tell); // refused, or other audio was loaded meanwhile
  });
  audio.addEventListener("play", () => { tell(); follow(); });
  audio.addEventListener("pause", tell);

  return {
    node,
    pause() { audio.pause(); },
    load(frames, address, said) {
      [sheet, words] = [frames, said];
      node.setAttribute("aria-label", words);
      audio.pause();
      audio.src = address;
      place.set(0);
      large = frameOf(sheet, 0, "the frame of this second");
      const cells = Array.from({ length: seconds }, (_, at) =>
        frameOf(sheet, Math.floor(((at + 0.5) * sheet.count) / seconds)));
      frame.replaceChildren(large);
      strip.replaceChildren(
        element("div", { className: "cells", role: "img", "aria-label": `${seconds} frames` }, ...cells));
      tell();
      show();
    },
  };
}

function build(frame, data) {
  const { clips, seconds, thresholds, paper, all } = data;
  const state = { clip: 0, partner: 1, exchanged: false, threshold: paper };
  const BRANCHES = ["visual", "audio"];
  const VERB = { visual: "seen", audio: "heard" };
  const addresses = clips.map(() => null); // of each clip's audio, made when it is first needed

  const clip = choice({
    label: "clip", options: clips.map((_, at) => called(at)),
    changed(to) { state.clip = to; offerPartners(); load(); draw(); },
  });
  const partner = choice({
    label: "partner", options: [],
    changed(to) { state.partner = others()[to]; load(); draw(); },
  });
  const mode = radio({
    label: "the two clips", options: ["as they are", "audio exchanged"],
    changed(to) { state.exchanged = to === 1; load(); draw(); },
  });
  const threshold = slider({
    label: "threshold", min: thresholds[0], max: thresholds[thresholds.length - 1],
    step: thresholds[1] - thresholds[0], value: paper,
    format: (value) => value.toFixed(2) + (Math.abs(value - paper) < 1e-9 ? " (the paper's)" : ""),
    changed(to) { state.threshold = to; draw(); },
  });
  const said = announcement();
  const players = [0, 1].map((at) => clipPlayer(seconds, () => players[1 - at].pause()));
  const names = [title(""), title("")], found = [element("div"), element("div")];
  const key = element("p", { className: "soft" }), table = element("div");
  frame.append(
    element("div", { className: "panels bar" }, clip.node, partner.node),
    element("div", { className: "bar" }, mode.node, threshold.node),
    said.node,
    element("div", { className: "panels" }, ...[0, 1].map((at) =>
      element("div", {}, names[at], clips[0].frames && clips[0].audio ? players[at].node : null, found[at]))),
    key, table);

  function called(at, note = "") {
    return `${clips[at].row}${note}: ${clips[at].labels.join(", ")}`;
  }
  function others() {
    return clips.map((_, at) => at).filter((at) => at !== state.clip);
  }
  function shared(at) {
    return clips[state.clip].labels.filter((label) => clips[at].labels.includes(label));
  }
  function offerPartners() { // those that share a label are offered too, and named as unsuitable
    const fair = others().filter((at) => !shared(at).length);
    const drawn = clips[state.clip].partner;
    state.partner = fair.includes(drawn) ? drawn : fair[0] ?? others()[0];
    const note = (at) => (shared(at).length ? ` (unfit, shares ${shared(at).join(", ")})` : "");
    partner.fill(others().map((at) => called(at, note(at))), others().indexOf(state.partner));
  }
  function audioOf(at) {
    addresses[at] ??= audioAddress(clips[at].audio);
    return addresses[at];
  }
  function pairs() { // whose frames and whose audio each of the two panels has
    const [own, other] = [state.clip, state.partner];
    return state.exchanged ? [[own, other], [other, own]] : [[own, own], [other, other]];
  }
  function load() {
    pairs().forEach(([frames, audio], at) => {
      names[at].textContent = frames === audio
        ? `${at ? "The partner" : "The clip"}, ${clips[frames].row}, as it is`
        : at ? "The clip's audio, the partner's frames" : "The clip's frames, the partner's audio";
      if (clips[frames].frames && clips[audio].audio) {
        players[at].load(clips[frames].frames, audioOf(audio),
          `frames of clip ${clips[frames].row}, audio of clip ${clips[audio].row}`);
      }
    });
  }

  // What occurs in a stream of a clip, in words.
  function truth(one, stream) {
    const times = one.labels.map((label, at) => [label, one[VERB[stream]][at]])
      .filter(([, mask]) => mask.some(Boolean)).map(([label, mask]) => `${label} ${spansInWords(mask)}`);
    return element("small", {}, element("strong", {}, `${VERB[stream]}: `), times.join("; ") || "none of the labels");
  }
  // A bar with its number; `level` (or null) is where a label is dropped.
  function bar(branch, value, level) {
    const fill = element("div", { className: "fill" });
    fill.style.cssText = `width: ${100 * value}%; background: var(--colour-${BRANCHES.indexOf(branch)})`;
    const track = element("div", { className: "track", "aria-hidden": "true" }, fill);
    if (level !== null) {
      const line = element("div", { className: "level" });
      line.style.left = `${100 * Math.min(1, level)}%`;
      track.append(line);
    }
    return element("div", { className: "meter" }, element("span", {}, `${branch} branch`), track,
      element("span", { className: "number" }, value.toFixed(2)));
  }
  function judged(right, text) {
    return element("p", { className: right ? "good" : "bad" }, `${right ? "✓" : "✗"} ${text}`);
  }

  // Where a branch is wrong about a label of a clip as it is, in words.
  function mistakes(one, at) {
    return BRANCHES.filter((branch) => (one.before[branch][at] > 0.5) !== one[VERB[branch]][at].some(Boolean))
      .map((branch) => (one.before[branch][at] > 0.5
        ? `predicted by the ${branch} branch, but never ${VERB[branch]}`
        : `not predicted by the ${branch} branch, but ${VERB[branch]}`));
  }
  // The labels of a clip as the network predicts them, before anything is exchanged.
  function asItIs(one) {
    return one.labels.map((label, at) => element("div", { className: "tested" }, element("strong", {}, label),
      ...BRANCHES.map((branch) => bar(branch, one.before[branch][at], null)),
      ...mistakes(one, at).map((text) => judged(false, `wrong: ${text}`))));
  }

  // The labels of the clip in one stream, tested by the other stream's exchange.
  function tested(one, stream) {
    const after = one.pairs[state.partner];
    const changed = stream === "visual" ? "a" : "v";
    const values = { visual: after[`p_${changed}_v`], audio: after[`p_${changed}_a`] };
    const kept = filterLabels(values.visual, values.audio, one.errors[stream], state.threshold);
    return one.labels.map((label, at) => {
      const error = one.errors[stream][at], level = state.threshold * error;
      const result = outcome(kept[at], one[VERB[stream]][at].some(Boolean), VERB[stream]);
      const node = element("div", { className: "tested" }, element("strong", {}, label),
        ...BRANCHES.map((branch) => bar(branch, values[branch][at], level)),
        element("small", {}, `dropped if both are below ${state.threshold.toFixed(2)} × ${error.toFixed(2)} = ${level.toFixed(2)}`),
        judged(result.right, `${result.did}: ${result.right ? "right" : "wrong"}, ${result.why}`));
      return { label, node, ...result };
    });
  }
  function inShort(stream, labels) {
    const parts = labels.filter(({ did, right }) => did === "dropped" || !right)
      .map(({ label, did, right, why }) => `${label} ${did} (${right ? "right" : "wrong"}: ${why})`);
    return `${stream} stream: ${parts.join(", ") || "all labels kept, correctly"}`;
  }

  function draw() {
    const one = clips[state.clip], other = clips[state.partner];
    const heading = (stream) => element("p", { className: "soft" },
      `Tests the ${stream} labels of clip ${one.row}:`);
    const facts = pairs().map(([frames, audio]) =>
      element("p", {}, truth(clips[frames], "visual"), element("br"), truth(clips[audio], "audio")));
    if (state.exchanged) {
      const [visual, audio] = [tested(one, "visual"), tested(one, "audio")];
      found[0].replaceChildren(facts[0], heading("visual"), ...visual.map(({ node }) => node));
      found[1].replaceChildren(facts[1], heading("audio"), ...audio.map(({ node }) => node));
      const warning = shared(state.partner).length
        ? ` Not a fair test: both clips have ${shared(state.partner).join(", ")}.` : "";
      said.say(`At threshold ${state.threshold.toFixed(2)}, ${inShort("visual", visual)}; ${inShort("audio", audio)}.${warning}`);
    } else {
      found[0].replaceChildren(facts[0], ...asItIs(one));
      found[1].replaceChildren(facts[1], ...asItIs(other));
      const wrong = one.labels.flatMap((label, at) => mistakes(one, at).map((text) => `${label} is ${text}`));
      said.say(`Clip ${one.row} as it is: ${wrong.join("; ") || "both branches are right about its labels"}. `
        + "Play it, then exchange the audio: which labels lose their support?");
    }
    key.textContent = "Bars: probability that the label occurs in the clip, 0 to 1."
      + (state.exchanged ? " Line: threshold × E_c, where E_c is the network's error rate for the label, relative to the worst label." : "");
    table.replaceChildren(title(`All ${all.clips} training clips, ${all.partners} random partner${all.partners > 1 ? "s" : ""} each, threshold ${state.threshold.toFixed(2)}`), totals());
  }

  // How many labels are dropped over all training clips, and how many of them correctly.
  function totals() {
    const step = (state.threshold - thresholds[0]) / (thresholds[1] - thresholds[0]);
    const at = Math.min(thresholds.length - 1, Math.max(0, Math.round(step)));
    const percent = (value) => (value === null ? "–" : `${value.toFixed(0)} %`);
    const head = ["stream", "labels dropped", "correct (precision)", "at random", "wrong labels dropped (recall)"];
    return element("table", {},
      element("thead", {}, element("tr", {}, ...head.map((text, k) =>
        element("th", { scope: "col", className: k ? "number" : "" }, text)))),
      element("tbody", {}, ...BRANCHES.map((stream) => {
        const { dropped, precision, recall, absent } = all[stream][at];
        const cells = [`${Math.round((dropped / 100) * all.labels)} of ${all.labels}`, percent(precision), percent(absent), percent(recall)];
        return element("tr", {}, element("th", { scope: "row" }, stream),
          ...cells.map((text) => element("td", { className: "number" }, text)));
      })));
  }

  offerPartners();
  load();
  draw();
}

start("swap", build);
