// The linear halves of rnntext's models: see docs/onnx.md.
//
// Knows: how n-grams of a text and features of a word are hashed, and how their weights add up.
// Does not know: ONNX Runtime, tokens, or how the sums are joined to the scores of the graph
// (model.mjs).

const MOST_CHARACTERS = 2 ** 20; // of a text that a classifier's linear half looks at
const LONGEST_WORD = 200; // of a tagger's linear half: a longer one is its first and last 100
const KEPT_WORDS = 2 ** 16; // their scores stay in memory

/** The arrays of the sidecar's section `linear` or `splitter`: { shape, values }. */
export function tensors(section) {
  const found = {};
  for (const [name, { dtype, shape, data }] of Object.entries(section.tensors)) {
    const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
    const kind = { float16: Uint16Array, float32: Float32Array, uint32: Uint32Array }[dtype];
    const values = new kind(bytes.buffer); // little-endian, as every browser's machine is
    found[name] = { shape, values: dtype === "float16" ? Float32Array.from(values, half) : values };
  }
  return found;
}

function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

// Hashes: unsigned numbers of 32 bits.

const points = (text) => Array.from(text, (c) => c.codePointAt(0));

function spread(h) {
  h = Math.imul(h ^ (h >>> 16), 0x7feb352d);
  h = Math.imul(h ^ (h >>> 15), 0x846ca68b);
  return (h ^ (h >>> 16)) >>> 0;
}

export function hashWord(word) {
  const codes = points(word);
  let total = Math.imul(codes.length, 0xc2b2ae3d);
  let power = 1;
  for (const code of codes) {
    total = (total + Math.imul(code + 1, power)) | 0;
    power = Math.imul(power, 0x9e3779b1);
  }
  return spread(total);
}

function hashCharacters(codes) {
  let h = 0;
  for (const code of codes) h = (Math.imul(h, 0x01000193) + code + 1) | 0;
  return spread((h + Math.imul(codes.length, 0x9e3779b1)) | 0);
}

export function hashPair(a, b) {
  return spread((Math.imul(a, 0x9e3779b1) + Math.imul(b, 0x85ebca77) + 1) | 0);
}

/** Add the row of a table to a sum. */
function addRow(total, { shape, values }, row) {
  const columns = shape[1];
  for (let i = 0; i < columns; i++) total[i] += values[row * columns + i];
}

/** Keep what a function returns for a string. */
function remembered(compute) {
  const known = new Map();
  return (text) => {
    let found = known.get(text);
    if (found === undefined) {
      if (known.size >= KEPT_WORDS) known.clear();
      known.set(text, (found = compute(text)));
    }
    return found;
  };
}

/** The linear half of a classifier: words, pairs of words, and characters of words. */
export class TextScores {
  constructor(section, labels) {
    this.tensors = tensors(section);
    this.labels = labels;
    this.pattern = new RegExp(section.word_pattern, "gu");
    this.word = remembered((word) => this.scoresOf(word));
  }

  /** What is added to a text's logits. */
  logits(text) {
    if (text.length > MOST_CHARACTERS) text = Array.from(text).slice(0, MOST_CHARACTERS).join("");
    const words = text.toLowerCase().match(this.pattern) ?? [];
    const total = Float64Array.from(this.tensors.bias.values);
    for (const word of new Set(words)) this.word(word).scores.forEach((s, i) => (total[i] += s));
    const pairs = new Set();
    for (let i = 1; i < words.length; i++) {
      pairs.add(hashPair(this.word(words[i - 1]).hash, this.word(words[i]).hash));
    }
    for (const pair of pairs) this.add(total, "pairs", pair);
    const scaled = Array.from(total, (score) => score * this.tensors.scale.values[0]);
    return scaled.length === this.labels ? scaled : [-scaled[0] / 2, scaled[0] / 2];
  }

  scoresOf(word) {
    const hash = hashWord(word);
    const scores = new Float64Array(this.tensors.bias.values.length);
    this.add(scores, "words", hash);
    const spaced = points(` ${word} `);
    for (let size = 1; size <= 5; size++) {
      for (let start = 0; start + size <= spaced.length; start++) {
        const gram = spaced.slice(start, start + size);
        if (size > 1 || gram[0] !== 32) this.add(scores, "characters", hashCharacters(gram));
      }
    }
    return { hash, scores };
  }

  add(total, name, hash) {
    const table = this.tensors[name];
    addRow(total, table, Math.floor((hash * table.shape[0]) / 2 ** 32));
  }
}

/** The linear half of a tagger: forms of a word and of its neighbours, and pairs of words. */
export class WordScores {
  constructor(section) {
    this.tensors = tensors(section);
    this.features = section.features;
    this.parts = section.parts; // of each tag, the columns of the weights
    this.rows = new Map(Array.from(this.tensors.features.values, (hash, row) => [hash, row]));
    this.formsOf = remembered(formsOf);
  }

  /** What is added to the scores of the first tag, of transitions and of the last tag. */
  pathScores() {
    const scale = this.tensors.scale.values[0];
    return ["start", "transitions", "end"]
      .filter((name) => name in this.tensors)
      .map((name) => Array.from(this.tensors[name].values, (score) => score * scale));
  }

  /** What is added to the scores of the tags of each word. */
  emissions(words) {
    const at = ["", "", ...words, "", ""].map((word) => this.formsOf(word));
    const scale = this.tensors.scale.values[0];
    return words.map((_, i) => {
      const { bias, weights } = this.tensors;
      const scores = new Float64Array(weights.shape[1]);
      const add = (hash) => {
        const row = this.rows.get(hash);
        if (row !== undefined) addRow(scores, weights, row);
      };
      this.features.forEach(([offset, form], number) => {
        const hash = at[i + 2 + offset].get(form); // a word of two letters has no prefix of three
        if (hash !== undefined) add(hashPair(hash, number));
      });
      const [before, here, after] = [1, 2, 3].map((k) => at[i + k].get("lower"));
      add(hashPair(hashPair(before, here), this.features.length));
      add(hashPair(hashPair(here, after), this.features.length + 1));
      const of = (tag) =>
        this.parts
          ? this.parts[tag].reduce((total, column) => total + scores[column], 0)
          : scores[tag];
      return Float64Array.from(bias.values, (score, tag) => (score + of(tag)) * scale);
    });
  }
}

/** The hash of each form that a word has. */
function formsOf(word) {
  let letters = Array.from(word);
  if (letters.length > LONGEST_WORD) {
    letters = [...letters.slice(0, LONGEST_WORD / 2), ...letters.slice(-LONGEST_WORD / 2)];
  }
  const lower = Array.from(letters.join("").toLowerCase()).slice(0, LONGEST_WORD);
  const forms = new Map([
    ["word", letters.join("")],
    ["lower", lower.join("")],
    ["shape", shape(letters)],
  ]);
  for (let size = 1; size <= Math.min(lower.length, 5); size++) {
    forms.set(`prefix ${size}`, lower.slice(0, size).join(""));
    forms.set(`suffix ${size}`, lower.slice(-size).join(""));
  }
  for (const [name, form] of forms) forms.set(name, hashWord(form));
  return forms;
}

/** The class of each character, of a run of one class at most two: "McDonald" is "XxXxx". */
function shape(letters) {
  return letters.map(characterClass).join("").replace(/(.)\1{2,}/gsu, "$1$1");
}

function characterClass(c) {
  if (c >= "\u3041" && c <= "\u309f") return "h"; // hiragana
  if (c >= "\u30a0" && c <= "\u30ff") return "k"; // katakana
  if (/[\p{Lu}\p{Lt}]/u.test(c)) return "X";
  if (/\p{Ll}/u.test(c)) return "x";
  if (/\p{Nd}/u.test(c)) return "d";
  return /[\p{L}\p{M}]/u.test(c) ? "a" : c;
}
