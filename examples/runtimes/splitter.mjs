// How a tagger that has learned it splits raw text into words: see docs/onnx.md.
//
// Knows: which characters may begin a token, the features by which those in doubt are decided, and
// the rules by which one token is several words (`du`: `de le`). Does not know: ONNX Runtime, tags,
// or how text is split where nothing was learned (model.mjs).

import { viterbi } from "./crf.mjs";
import { hashPair, hashWord, tensors } from "./linear.mjs";

const [BOUNDARY, INSIDE, IN_DOUBT] = [0, 1, 2]; // what a character does: it continues a token if 1
const LONGEST_CHAIN = 256; // characters in doubt that are decided together
const LONGEST_KNOWN = 12; // characters of a token that is looked up
const AROUND = 4; // characters before and after a text that are read as nothing
const FACTORS = [0x9e3779b1, 0x85ebca77, 0xc2b2ae3d, 0x27d4eb2f, 0x7feb352d];
const SALT = 0x165667b1;

// The classes of characters: the first that fits, else 31. Python's white space has U+001C to U+001F.
const CLASSES = [
  [0, /\0/u], [1, /[\p{White_Space}\x1c-\x1f]/u], [2, /[\u3041-\u309f]/u], [3, /[\u30a0-\u30ff]/u],
  [4, /(?=\p{Lo})\p{Script=Han}/u], [5, /[\p{Lo}\p{Lm}]/u], [6, /[\p{Lu}\p{Lt}]/u], [7, /\p{Ll}/u],
  [8, /\p{N}/u], [9, /\p{M}/u], [10, /\p{Pd}/u], [11, /\p{Ps}/u], [12, /\p{Pe}/u], [13, /\p{Pi}/u],
  [14, /\p{Pf}/u], [15, /\p{Po}/u], [16, /\p{Pc}/u], [17, /\p{Cf}/u], [31, /[^]/u],
];
const [SPACE, LETTER, MARK, COUNT] = [1, 5, 9, 32];
const SPACES_AT_END = /[\p{White_Space}\x1c-\x1f]+$/u;

// Places around a character whose letters, classes or runs make one feature together.
const GRAMS = [
  [-2], [-1], [0], [1], [2], [-2, -1], [-1, 0], [0, 1], [1, 2], [-1, 1],
  [-2, -1, 0], [-1, 0, 1], [0, 1, 2], [-2, -1, 0, 1], [-1, 0, 1, 2],
];
const CLASS_GRAMS = [
  [0], [-1, 0], [0, 1], [-2, -1, 0], [-1, 0, 1], [0, 1, 2], [-2, -1, 0, 1], [-2, -1, 0, 1, 2],
];
const RUN_GRAMS = [[0], [-1], [1], [-1, 1], [-1, 0], [0, 1], [-2, 0], [0, 2], [-3, -1]];

/** Splits texts with the sidecar's section `splitter`. */
export class Splitter {
  constructor({ tensors: stored, rules }) {
    const arrays = tensors({ tensors: stored });
    const values = (name) => Array.from(arrays[name].values);
    Object.assign(this, { start: values("start"), transitions: values("transitions") });
    this.ofPair = values("of_pair");
    this.known = new Set(values("known"));
    this.weights = new Weights(arrays, "");
    if (rules !== null) this.ranges = new Ranges(rules, new Weights(arrays, "range_"));
  }

  /** The words of a text. */
  words(text) {
    const tokens = this.tokens(text);
    return this.ranges ? this.ranges.words(tokens) : tokens;
  }

  /** The parts of a text that are a word, or are written for several. */
  tokens(text) {
    const letters = Array.from(text);
    const seen = new Characters(letters, this.known);
    const inside = letters.map(() => false);
    let chain = [];
    letters.forEach((_, number) => {
      if (seen.followsSpace(number)) return;
      const does = number ? this.ofPair[seen.pair(number)] : BOUNDARY;
      inside[number] = does === INSIDE;
      if (does === IN_DOUBT) chain.push(number);
      if (does === BOUNDARY || chain.length === LONGEST_CHAIN) {
        this.decide(chain, seen, inside);
        chain = [];
      }
    });
    this.decide(chain, seen, inside);
    const parts = [];
    letters.forEach((letter, number) => {
      if (seen.followsSpace(number)) inside[number] = inside[number - 1]; // it does what that does
      if (inside[number]) parts[parts.length - 1] += letter;
      else parts.push(letter);
    });
    return parts.map((part) => part.replace(SPACES_AT_END, "")).filter(Boolean);
  }

  /** Note which characters in doubt continue a token: the likeliest path. */
  decide(chain, seen, inside) {
    if (chain.length === 0) return;
    const scores = chain.map((number) => [0, this.weights.score(seen.slots(number))]);
    const path = viterbi(scores, this.start, this.transitions, [0, 0]);
    chain.forEach((number, i) => (inside[number] = path[i] === INSIDE));
  }
}

/** The weights of features, by their slots. */
class Weights {
  constructor(arrays, prefix) {
    const { values } = arrays[`${prefix}weights`];
    this.of = new Map(Array.from(arrays[`${prefix}slots`].values, (slot, i) => [slot, values[i]]));
    this.bias = arrays[`${prefix}bias`].values[0];
  }

  score(slots) {
    return this.bias + this.sum(slots);
  }

  sum(slots) {
    return slots.reduce((total, slot) => total + (this.of.get(slot) ?? 0), 0);
  }
}

/** The characters of a text and what is around them. */
class Characters {
  constructor(letters, known) {
    const nothing = new Array(AROUND).fill("\0");
    const read = [...nothing, ...letters, ...nothing];
    this.classes = read.map(classOf);
    this.points = read.map((c) => c.toLowerCase().codePointAt(0));
    // A run is letters, digits and marks in a row, or one other character.
    [this.run, this.offset] = [[], []];
    const sums = [];
    const isLetter = (c) => c >= LETTER && c <= MARK;
    let power = 1;
    this.classes.forEach((own, at) => {
      const joined = isLetter(own) && isLetter(this.classes[at - 1]);
      this.offset.push(joined ? this.offset[at - 1] + 1 : 0);
      power = joined ? Math.imul(power, FACTORS[0]) : 1;
      if (!joined) sums.push(0);
      sums.push((sums.pop() + Math.imul(this.points[at], power)) | 0);
      this.run.push(sums.length - 1);
    });
    this.runHashes = sums.map(spread);
    // The lengths of the longest known tokens that begin at a place, end before it, contain it.
    [this.begin, this.end, this.inside] = [0, 1, 2].map(() => read.map(() => 0));
    const stop = read.length - AROUND;
    for (let first = AROUND; first < stop; first++) {
      let h = this.points[first];
      for (let size = 2; size <= Math.min(LONGEST_KNOWN, stop - first); size++) {
        h = (Math.imul(h, FACTORS[0]) + this.points[first + size - 1]) | 0;
        if (!known.has(slot(h + size))) continue;
        const after = first + size;
        this.begin[first] = size;
        this.end[after] = Math.max(this.end[after], size);
        for (let at = first + 1; at < after; at++) this.inside[at] = Math.max(this.inside[at], size);
      }
    }
  }

  followsSpace(number) {
    return this.classes[AROUND + number - 1] === SPACE;
  }

  /** The classes of the character before and of this one, as one number. */
  pair(number) {
    const at = AROUND + number;
    return this.classes[at - 1] * COUNT + this.classes[at];
  }

  /** The slots of the 38 features of a character. */
  slots(number) {
    const at = AROUND + number;
    const run = (place) => this.runHashes[this.run[at] + place];
    const known = [this.begin[at], this.end[at], this.inside[at]];
    const hashes = [
      ...GRAMS.map((gram) => combined(gram.map((place) => this.points[at + place]))),
      ...CLASS_GRAMS.map((gram) => combined(gram.map((place) => this.classes[at + place]))),
      ...RUN_GRAMS.map((gram) => combined([this.offset[at], ...gram.map(run)])),
      ...known,
      ...[known.slice(0, 2), known, [...known, this.classes[at]]].map(combined),
    ];
    return hashes.map((h, i) => slot(h + Math.imul(i + 1, SALT)));
  }
}

const classes = new Map();
function classOf(c) {
  if (!classes.has(c)) classes.set(c, CLASSES.find(([, pattern]) => pattern.test(c))[0]);
  return classes.get(c);
}

const spread = (h) => Math.imul(h ^ (h >>> 15), FACTORS[4]) >>> 0;
const slot = (h) => spread(h | 0) >>> 12;
const combined = (values) => values.reduce((sum, v, i) => (sum + Math.imul(v, FACTORS[i])) | 0, 0);

/** Finds the words of tokens that are written for several. */
class Ranges {
  constructor(rules, weights) {
    this.weights = weights;
    this.whole = new Map(rules.filter((r) => r.is_whole).map((r) => [r.left, r]));
    const edits = rules.filter((r) => !r.is_whole);
    this.edits = new Map(edits.map((r) => [`${r.left}\t${r.right}`, r]));
    const sizes = edits.map((r) => [Array.from(r.left).length, Array.from(r.right).length]);
    const distinct = new Map(sizes.map((pair) => [pair.join(), pair]));
    this.taken = [...distinct.values()].sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  }

  words(tokens) {
    const at = ["", ...tokens, ""];
    return tokens.flatMap((token, i) => this.wordsOf(at[i], token, at[i + 2]));
  }

  wordsOf(before, token, after) {
    let [best, most] = [null, -Infinity];
    for (const { name, rule, kept } of this.candidates(token)) {
      const size = String(Math.min(kept.length, 8));
      const own = ["", token.toLowerCase(), isCapital(token) ? "True" : "False", size];
      own.push(kept.join(""), ...[1, 2, 3, 4].map((n) => kept.slice(-n).join("")));
      const nameHash = hashWord(name);
      const score = this.weights.score(rangeSlots(nameHash, own.map(hashWord), 0));
      if (score > most) [best, most] = [{ nameHash, rule }, score]; // the first among equals
    }
    if (best === null) return [token];
    const around = [...looks(before), ...looks(after)];
    around.push(hashPair(around[0], around[3]));
    const score = most + this.weights.sum(rangeSlots(best.nameHash, around, 16));
    return score > 0 ? applyRule(best.rule, token) : [token];
  }

  /** The rules that may apply: of each its name, the rule, and the letters that it keeps. */
  candidates(token) {
    const spelled = token.toLowerCase();
    const lower = Array.from(spelled);
    if (lower.length !== Array.from(token).length) return [];
    const rule = this.whole.get(spelled);
    if (rule) return [{ name: spelled, rule, kept: [] }];
    return this.taken.flatMap(([left, right]) => {
      const end = lower.length - right;
      const name = `${lower.slice(0, left).join("")}\t${lower.slice(Math.max(end, 0)).join("")}`;
      const found = end - left > 1 ? this.edits.get(name) : undefined;
      return found ? [{ name, rule: found, kept: lower.slice(left, end) }] : [];
    });
  }
}

const isCapital = (text) => /^\p{Uppercase}/u.test(text);

/** What a token shows to those beside it. */
function looks(token) {
  const lower = Array.from(token.toLowerCase());
  return [lower, lower.slice(-2), lower.slice(-3)].map((letters) => hashWord(letters.join("")));
}

function rangeSlots(nameHash, values, first) {
  return values.map((value, i) => hashPair(nameHash + first + i, value) >>> 12);
}

/** The words of a token. The first begins with a capital letter if the token does. */
function applyRule(rule, token) {
  let words = rule.before;
  if (!rule.is_whole) {
    const letters = Array.from(token);
    const [left, right] = [rule.left, rule.right].map((taken) => Array.from(taken).length);
    const kept = letters.slice(left, letters.length - right).join("");
    words = [...rule.before, rule.prefix + kept + rule.suffix, ...rule.after];
  }
  let [first, ...others] = words;
  if (isCapital(token) && /^\p{Lowercase}/u.test(first)) {
    const [initial, ...rest] = Array.from(first);
    first = initial.toUpperCase() + rest.join("");
  }
  return [first, ...others];
}
