// Sums of scores: probabilities of labels, and paths through a sentence's labels.
//
// Knows: softmax, Viterbi's algorithm and forward-backward of a linear-chain conditional random
// field. Does not know: where the scores come from, or what the labels mean.

export const sum = (a, b) => Array.from(a, (value, i) => value + b[i]);
export const largest = (scores) => scores.reduce((best, s, i) => (s > scores[best] ? i : best), 0);

export function softmax(logits) {
  const most = logits[largest(logits)];
  const odds = logits.map((logit) => Math.exp(logit - most));
  const total = odds.reduce((a, b) => a + b, 0);
  return odds.map((value) => value / total);
}

function logSumExp(scores) {
  const most = scores[largest(scores)];
  return most + Math.log(scores.reduce((total, score) => total + Math.exp(score - most), 0));
}

/** The path with the largest sum of scores. The lowest label among equals. */
export function viterbi(emissions, start, transitions, end) {
  const [L, W] = [start.length, emissions.length];
  // To each label, the scores of the best paths to the labels before, with the transition.
  const into = (best, to) => best.map((score, from) => score + transitions[from * L + to]);
  const best = [sum(emissions[0], start)];
  for (let w = 1; w < W; w++) {
    best.push(emissions[w].map((score, to) => score + Math.max(...into(best[w - 1], to))));
  }
  const path = [largest(sum(best[W - 1], end))];
  for (let w = W - 2; w >= 0; w--) path.unshift(largest(into(best[w], path[0])));
  return path;
}

/** The probability of each label at each word, over all paths. */
export function marginals(emissions, start, transitions, end) {
  const L = start.length;
  const forward = [sum(emissions[0], start)];
  for (const scores of emissions.slice(1)) {
    const before = forward.at(-1);
    const into = (to) => before.map((score, from) => score + transitions[from * L + to]);
    forward.push(scores.map((score, to) => score + logSumExp(into(to))));
  }
  const backward = [Array.from(end)];
  for (const scores of emissions.slice(1).reverse()) {
    const after = sum(scores, backward[0]);
    const out = (from) => after.map((score, to) => score + transitions[from * L + to]);
    backward.unshift(after.map((_, from) => logSumExp(out(from))));
  }
  return forward.map((scores, w) => softmax(sum(scores, backward[w])));
}
