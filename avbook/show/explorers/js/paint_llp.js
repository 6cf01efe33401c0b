// LLP: a reader paints which classes are heard and which are seen, and sees the ten scores, the
// pairs of events that they rest on, and the counts.
import { element, framesRow, palette, row, secondsRow, start, title } from "./core.js";
import { bothOf, f1, llpCounts, llpScores, matchEvents } from "./metrics.js";
import { easel, figureCell, paintGrid, paintRow, span, told } from "./paint.js";

const COLUMNS = { audio: "audio", visual: "visual", av: "audio-visual", type: "Type@AV", event: "Event@AV" };
const MODALITIES = ["audio", "visual"];
const LEVEL_NAMES = { segment: "segments", event: "events" };

// The lanes of a painting in the order of the rows, audio and visual of each class, as (C, T) masks
// of audio and of visual.
export function masksOf(lanes) {
  return [0, 1].map((modality) => lanes.filter((_, lane) => lane % 2 === modality));
}

// The events of two masks as rows of a table: each overlapping pair, then what overlaps nothing.
// `counts` says once for each event whether it is a hit, missed or a false alarm.
export function matchRows(predictedMask, trueMask) {
  const { predicted, truth, pairs } = matchEvents(predictedMask, trueMask);
  const counted = new Set();
  const once = (event, word) => {
    if (counted.has(event)) return [];
    counted.add(event);
    return [word];
  };
  const counts = (ours, event, match) => [
    ...(match ? once(ours, "hit") : []),
    ...(ours && !ours.hit ? once(ours, "false alarm") : []),
    ...(event && !event.found ? once(event, "missed") : []),
  ];
  const alone = (ours, event) => ({ ours, event, pair: null, counts: counts(ours, event, false) });
  return [
    ...pairs.map((pair) => ({ ours: pair.predicted, event: pair.truth, pair, counts: counts(pair.predicted, pair.truth, pair.match) })),
    ...predicted.filter((ours) => !pairs.some((pair) => pair.predicted === ours)).map((ours) => alone(ours, null)),
    ...truth.filter((event) => !pairs.some((pair) => pair.truth === event)).map((event) => alone(null, event)),
  ];
}

function build(frame, data) {
  const work = easel({
    clips: data.clips,
    scores(paintings, some) {
      const [ours, truth] = [paintings.map(masksOf), some.map((clip) => masksOf(clip.truth))];
      return llpScores(ours.map(([audio]) => audio), ours.map(([, visual]) => visual),
        truth.map(([audio]) => audio), truth.map(([, visual]) => visual));
    },
    summary: (here, before) => `Segments: ${told("Type@AV", here.segment_type, before?.segment_type)}; `
      + `events: ${told("Type@AV", here.event_type, before?.event_type)}.`,
    draw,
  });
  const rows = element("div", { className: "rows" }), scores = element("div");
  const events = element("div"), counts = element("div");
  let grid = null, colours = null, derived = []; // of the shown clip; `derived` follows each stroke
  frame.append(
    element("p", {}, "The boxes are your prediction, at first equal to the ground truth, the thin bar above them. Drag across boxes "
      + "to clear or to fill them. Between both stands the IoU of events that overlap: from 0.50 on it is a match (✓)."),
    element("p", { className: "soft" }, "With keys: arrows move, Space clears or fills, Shift with an arrow continues."),
    element("div", { className: "bar" }, work.picker), rows,
    element("div", { className: "bar" }, work.presets), work.said.node, scores,
    element("div", { className: "below" }, title("Which events match in this clip"), events),
    element("details", {}, element("summary", {}, "The counts of each class"), counts));

  // The masks [ours, truth] of a class in one modality or, for "av", in both together.
  function pairOf(type, c) {
    const [ours, truth] = [masksOf(work.ours), masksOf(work.clip.truth)];
    if (type === "audio") return [ours[0][c], truth[0][c]];
    if (type === "visual") return [ours[1][c], truth[1][c]];
    return [bothOf(...ours)[c], bothOf(...truth)[c]];
  }
  function strip(mask, colour) {
    const cells = mask.map((on) => {
      const cell = element("div", { className: "cell" });
      if (on) cell.style.backgroundColor = colour;
      return cell;
    });
    return element("div", { className: "cells strip", "aria-hidden": "true" }, ...cells);
  }
  function tags(pairs, columns) {
    const node = element("div", { className: "tags", "aria-hidden": "true" });
    node.style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`;
    for (const { predicted, truth, overlap, union, match } of pairs) {
      const place = element("span", { className: match ? "match" : "" }, `${(overlap / union).toFixed(2)}${match ? " ✓" : ""}`);
      place.style.gridColumn = `${Math.max(predicted.from, truth.from) + 1} / span ${overlap}`;
      node.append(place);
    }
    return node;
  }

  // The rows of a class: audio and visual to paint, then what follows for both together.
  function classRows(name, c) {
    const { truth } = work.clip, colour = colours.of(c);
    const painted = MODALITIES.map((type, k) => {
      const lane = 2 * c + k, place = element("div");
      derived.push(() => place.replaceChildren(tags(matchEvents(work.ours[lane], truth[lane]).pairs, truth[lane].length)));
      return paintRow(`${name}, ${type}`, strip(truth[lane], colour), place, grid.lanes[lane]);
    });
    const both = element("div");
    derived.push(() => {
      const [ours, event] = pairOf("av", c);
      both.replaceChildren(strip(event, colour), tags(matchEvents(ours, event).pairs, ours.length), strip(ours, colour));
    });
    const last = row(`${name}, audio-visual`, both);
    last.setAttribute("aria-hidden", "true");
    return element("div", { className: "group", role: "rowgroup" }, ...painted, last);
  }

  function show(cell, lane, at) {
    const { names, truth } = work.clip, on = work.ours[lane][at], right = truth[lane][at];
    const [type, c] = [MODALITIES[lane % 2], Math.floor(lane / 2)];
    const word = (value) => (value ? "yes" : "no");
    cell.style.backgroundColor = on ? colours.of(c) : "";
    cell.setAttribute("aria-label", `segment ${at}, ${names[c]}, ${type}: ground truth ${word(right)}, prediction ${word(on)}`);
    cell.replaceChildren(...(on === right ? [] : [element("span", { className: "wrong", "aria-hidden": "true" }, "×")]));
  }

  function draw(isNew) {
    const { frames, names, truth } = work.clip;
    if (isNew) {
      colours = palette(names);
      names.forEach((_, c) => colours.of(c));
      derived = [];
      grid = paintGrid({
        work, show, brush: (lane, at) => 1 - work.ours[lane][at], painted: () => draw(false),
        finished({ lane, from, to, value }) {
          const where = `${names[Math.floor(lane / 2)]}, ${MODALITIES[lane % 2]}`;
          work.tell(`${where}: ${span(from, to).toLowerCase()} ${value ? "filled" : "cleared"}. `);
        },
      });
      rows.replaceChildren(
        frames ? framesRow("frames", frames, truth[0].length, `${truth[0].length} frames of the clip`) : "",
        element("div", { role: "grid", "aria-label": "your prediction" }, ...names.map(classRows)),
        secondsRow(truth[0].length));
    }
    grid.update();
    derived.forEach((update) => update());
    work.update();
    scores.replaceChildren(scoreTable());
    events.replaceChildren(eventTable());
    counts.replaceChildren(...countTable());
  }

  function heads(...texts) {
    return texts.map((text, k) => element("th", { scope: "col", className: k ? "number" : "" }, text));
  }
  function scoreTable() {
    const { here, all, painted } = work.figures(), { before } = work;
    const cells = (type) => [[here, before?.here], [all, before?.all]].flatMap(([now, then]) =>
      Object.keys(LEVEL_NAMES).map((level) => figureCell(now[`${level}_${type}`], then?.[`${level}_${type}`])));
    const over = (text) => element("th", { scope: "colgroup", colSpan: 2, className: "number" }, text);
    return element("table", {},
      element("thead", {},
        element("tr", {}, element("td"), over("this clip"), over(`clips painted: ${painted}`)),
        element("tr", {}, ...heads("F (%)", "segments", "events", "segments", "events"))),
      element("tbody", {}, ...Object.entries(COLUMNS).map(([type, name]) =>
        element("tr", {}, element("th", { scope: "row" }, name), ...cells(type)))));
  }
  function iouCell(pair) {
    if (!pair) return element("td", {}, "no overlap");
    const value = `${(pair.overlap / pair.union).toFixed(2)}${pair.match ? "\u00a0✓" : ""}`;
    return element("td", {}, `${value} `, element("small", {}, `${pair.overlap}/${pair.union}`));
  }
  function eventTable() {
    const seconds = (event) => (event ? `${event.from}–${event.to}` : "none");
    const lines = work.clip.names.flatMap((name, c) => ["audio", "visual", "av"].flatMap((type) =>
      matchRows(...pairOf(type, c)).map(({ ours, event, pair, counts: words }) => element("tr", {},
        element("th", { scope: "row" }, `${name}, ${COLUMNS[type]}`),
        element("td", { className: "short" }, seconds(ours)), element("td", { className: "short" }, seconds(event)),
        iouCell(pair),
        element("td", {}, words.join(", ") || "–")))));
    if (!lines.length) return element("p", {}, "No event is true and none is predicted: each score is 100.");
    return element("table", {},
      element("thead", {}, element("tr", {}, ...["class", "predicted (s)", "true (s)", "IoU", "counts as"].map((text) =>
        element("th", { scope: "col" }, text)))),
      element("tbody", {}, ...lines));
  }
  function countTable() {
    const [ours, truth] = [masksOf(work.ours), masksOf(work.clip.truth)];
    const found = llpCounts(...ours, ...truth);
    const cell = (triple) => {
      const value = f1(triple);
      return element("td", {}, Number.isNaN(value) ? "left out" : `${triple.join(" / ")}: ${value.toFixed(2)}`);
    };
    const lines = Object.entries(COLUMNS).filter(([type]) => type !== "type").flatMap(([type, column]) =>
      work.clip.names.map((name, c) => element("tr", {},
        element("th", { scope: "row" }, `${name}, ${column}`), cell(found.segment[type][c]), cell(found.event[type][c]))));
    return [
      element("p", { className: "soft" }, "Hits / missed / false alarms: F. The score of a clip is the mean of F over the classes that "
        + "are predicted or true; others are left out, and where none remains the score is 100."),
      element("table", {},
        element("thead", {}, element("tr", {}, ...["class", "segments", "events"].map((text) => element("th", { scope: "col" }, text)))),
        element("tbody", {}, ...lines)),
    ];
  }

  draw(true);
  work.tell("");
}

start("paint_llp", build);
