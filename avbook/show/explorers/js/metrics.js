// The scores of avbook.metrics.ave and avbook.metrics.llp, with the same names, conventions and
// rounding-free comparisons. Nothing here draws.

const total = (values) => values.reduce((sum, value) => sum + value, 0);
const meanOf = (values) => (values.length ? total(values) / values.length : NaN);
const percentOf = (part, whole) => (whole ? (100 * part) / whole : NaN);

// -------------------------------------------------------------------------------------------- AVE
// The most frequent class below `background`; the lowest index on a tie, −1 where there is none.
export function plurality(labels, background) {
  const votes = new Array(background).fill(0);
  for (const label of labels) if (label < background) votes[label] += 1;
  const most = Math.max(0, ...votes);
  return most ? votes.indexOf(most) : -1;
}

// What the scores of one clip are made of, from T predicted and T true class indices.
export function aveCounts(predicted, truth, background) {
  const count = (holds) => truth.filter((label, at) => holds(predicted[at], label)).length;
  const isEvent = (label) => label !== background;
  return {
    segments: truth.length,
    correct: count((ours, label) => ours === label),
    backgroundTrue: count((ours, label) => !isEvent(label)),
    backgroundPredicted: count((ours) => !isEvent(ours)),
    backgroundHits: count((ours, label) => !isEvent(ours) && !isEvent(label)),
    eventTrue: count((ours, label) => isEvent(label)),
    eventHits: count((ours, label) => isEvent(label) && ours === label),
    intersection: count((ours, label) => isEvent(ours) && isEvent(label)),
    union: count((ours, label) => isEvent(ours) || isEvent(label)),
    category: plurality(predicted, background),
    trueCategory: plurality(truth, background),
  };
}

// `ave_scores` of clips: predicted and labels (N, T) class indices. NaN: nothing to count.
export function aveScores(predicted, labels, background) {
  const clips = labels.map((truth, n) => aveCounts(predicted[n], truth, background));
  const sum = (name) => total(clips.map((clip) => clip[name]));
  const accuracy = (some) => meanOf(some.map((clip) => (100 * clip.correct) / clip.segments));
  const withEvent = clips.filter((clip) => clip.eventTrue);
  return {
    accuracy: accuracy(clips),
    accuracy_with_background: accuracy(clips.filter((clip) => clip.backgroundTrue)),
    event_accuracy: percentOf(sum("eventHits"), sum("eventTrue")),
    category_accuracy: 100 * meanOf(withEvent.map((clip) => Number(clip.category === clip.trueCategory))),
    background_recall: percentOf(sum("backgroundHits"), sum("backgroundTrue")),
    background_precision: percentOf(sum("backgroundHits"), sum("backgroundPredicted")),
    mean_iou: meanOf(withEvent.map((clip) => (100 * clip.intersection) / clip.union)),
    category_only_oracle: percentOf(sum("eventTrue"), sum("segments")),
    always_background: percentOf(sum("backgroundTrue"), sum("segments")),
  };
}

// -------------------------------------------------------------------------------------------- LLP
// The events of a (T,) mask, its maximal runs: [{from, to}], `to` excluded.
export function eventsOf(mask) {
  const found = [];
  mask.forEach((on, at) => {
    if (on && !mask[at - 1]) found.push({ from: at, to: at + 1 });
    else if (on) found[found.length - 1].to = at + 1;
  });
  return found;
}

// The events of two (T,) masks and their overlapping pairs. A predicted event is a hit, a true one
// is found, where the IoU of one of its pairs is at least 1/2, which whole numbers decide.
export function matchEvents(predictedMask, trueMask) {
  const predicted = eventsOf(predictedMask).map((event) => ({ ...event, hit: false }));
  const truth = eventsOf(trueMask).map((event) => ({ ...event, found: false }));
  const pairs = [];
  for (const ours of predicted) {
    for (const event of truth) {
      const overlap = Math.min(ours.to, event.to) - Math.max(ours.from, event.from);
      if (overlap <= 0) continue;
      const union = ours.to - ours.from + event.to - event.from - overlap;
      const match = 2 * overlap >= union;
      ours.hit ||= match;
      event.found ||= match;
      pairs.push({ predicted: ours, truth: event, overlap, union, match });
    }
  }
  return { predicted, truth, pairs };
}

// True positives, false negatives and false positives of the seconds, and of the events.
export function segmentCounts(predicted, truth) {
  const tp = truth.filter((on, at) => on && predicted[at]).length;
  return [tp, truth.filter(Boolean).length - tp, predicted.filter(Boolean).length - tp];
}

export function eventCounts(predictedMask, trueMask) {
  const { predicted, truth } = matchEvents(predictedMask, trueMask);
  const hits = predicted.filter((event) => event.hit).length;
  return [hits, truth.filter((event) => !event.found).length, predicted.length - hits];
}

export const LEVELS = { segment: segmentCounts, event: eventCounts };

// F1 of counts; NaN for a class that is neither predicted nor true.
export function f1([tp, fn, fp]) {
  return tp + fn + fp ? (2 * tp) / (2 * tp + fn + fp) : NaN;
}

// The mean of F1 over the classes that are predicted or true; 1 where there is none.
export function macroF(counts) {
  const active = counts.map(f1).filter((value) => !Number.isNaN(value));
  return active.length ? meanOf(active) : 1;
}

export function bothOf(one, other) {
  return one.map((mask, c) => mask.map((on, at) => (on && other[c][at] ? 1 : 0)));
}

// The counts of one clip, from (C, T) masks: level -> audio, visual, av, event -> [TP, FN, FP] of
// each class. `event` adds those of audio and visual.
export function llpCounts(predAudio, predVisual, trueAudio, trueVisual) {
  const pairs = {
    audio: [predAudio, trueAudio], visual: [predVisual, trueVisual],
    av: [bothOf(predAudio, predVisual), bothOf(trueAudio, trueVisual)],
  };
  return Object.fromEntries(Object.entries(LEVELS).map(([level, count]) => {
    const counts = Object.fromEntries(Object.entries(pairs).map(([type, [predicted, truth]]) =>
      [type, truth.map((mask, c) => count(predicted[c], mask))]));
    counts.event = counts.audio.map((audio, c) => audio.map((value, k) => value + counts.visual[c][k]));
    return [level, counts];
  }));
}

// `llp_scores` of clips: four arrays of (C, T) masks, one for each clip; classes may differ.
export function llpScores(predAudio, predVisual, trueAudio, trueVisual) {
  const clips = trueAudio.map((_, n) => {
    const scores = {};
    const counts = llpCounts(predAudio[n], predVisual[n], trueAudio[n], trueVisual[n]);
    for (const [level, { audio, visual, av, event }] of Object.entries(counts)) {
      const three = [macroF(audio), macroF(visual), macroF(av)];
      const five = [...three, total(three) / 3, macroF(event)];
      ["audio", "visual", "av", "type", "event"].forEach((type, k) => { scores[`${level}_${type}`] = 100 * five[k]; });
    }
    return scores;
  });
  return Object.fromEntries(Object.keys(clips[0] ?? {}).map((name) => [name, meanOf(clips.map((clip) => clip[name]))]));
}
