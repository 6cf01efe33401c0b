// Eq. 9 of CMLCL in the browser: the label contrast of one clip and its gradient. Distributions are
// arrays of log-probabilities, divergences are in nats.

// KL(p, q), with the clip first.
export function divergence(logP, logQ) {
  return logP.reduce((sum, value, at) => sum + Math.exp(value) * (value - logQ[at]), 0);
}

export function meanOf(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

// The two means of Eq. 9 and the loss; a divergence from a far clip counts up to the cap.
export function contrastParts(logP, near, far, cap) {
  const attract = near.map((logQ) => divergence(logP, logQ));
  const repel = far.map((logQ) => divergence(logP, logQ));
  const capped = repel.filter((value) => value > cap).length;
  const counted = meanOf(repel.map((value) => Math.min(value, cap)));
  return { attract, repel, capped, near: meanOf(attract), far: counted, loss: meanOf(attract) - counted };
}

// What one member of a set adds to the pull: the gradient of its divergence by the clip's logits,
// p_c (log p_c − log q_c − KL), divided by K; zero above the cap.
function share(logP, logQ, count, cap) {
  const kl = divergence(logP, logQ);
  if (kl > cap) return logP.map(() => 0);
  return logP.map((value, at) => (Math.exp(value) * (value - logQ[at] - kl)) / count);
}

function added(vectors, length) {
  return Array.from({ length }, (_, at) => vectors.reduce((sum, vector) => sum + vector[at], 0));
}

// The pull, minus the gradient of the loss by the clip's logits, in three parts: towards near clips
// of the clip's own category (`right`, a list of booleans), towards the other near clips, and away
// from the far ones. `sum` is all of it.
export function pullOn(logP, near, far, cap, right) {
  const size = logP.length;
  const towards = near.map((logQ) => share(logP, logQ, near.length, Infinity).map((value) => -value));
  const parts = {
    right: added(towards.filter((_, at) => right[at]), size),
    wrong: added(towards.filter((_, at) => !right[at]), size),
    far: added(far.map((logQ) => share(logP, logQ, far.length, cap)), size),
  };
  return { ...parts, sum: added(Object.values(parts), size) };
}

// Log-probabilities that sum to one.
export function normalised(logits) {
  const most = Math.max(...logits);
  const log = most + Math.log(logits.reduce((sum, value) => sum + Math.exp(value - most), 0));
  return logits.map((value) => value - log);
}

// The clip's log-probabilities after 0 to `count` steps along the pull; its neighbours stay.
export function descent(logP, near, far, cap, count, size) {
  const path = [normalised(logP)];
  const right = near.map(() => true); // only the sum is needed
  while (path.length <= count) {
    const now = path[path.length - 1];
    const { sum } = pullOn(now, near, far, cap, right);
    path.push(normalised(now.map((value, at) => value + size * sum[at])));
  }
  return path;
}

// How much better a soft label fits one group of clips than another, in nats: the mean of
// log(own / other), where `favour` has that logarithm for each category.
export function fit(logP, favour) {
  return logP.reduce((sum, value, at) => sum + Math.exp(value) * favour[at], 0);
}

// How fast the fit grows along a pull on the logits.
export function fitAlong(logP, favour, pull) {
  const now = fit(logP, favour);
  return logP.reduce((sum, value, at) => sum + Math.exp(value) * (favour[at] - now) * pull[at], 0);
}
