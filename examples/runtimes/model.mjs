// Runs a model that `rnntext export DIR -o model.onnx` wrote, in Node or a browser: see docs/onnx.md.
//
//     node examples/runtimes/model.mjs model.onnx "A warm and funny book."
//     node examples/runtimes/model.mjs model.onnx < texts.jsonl
//
// Needs the packages of package.json (`npm ci`). Without texts it reads JSON strings from standard
// input, one a line; it prints a JSON object for each text. One text at a time, for the sake of
// clarity: the graph itself takes batches. In a browser, pass what `fetch` gives to `Model.create`.
//
// Knows: tokens, windows and states. Does not know: paths through a sentence (crf.mjs), the linear
// halves (linear.mjs), how raw text is split where that was learned (splitter.mjs), nor anything of
// one model, which is all in the sidecar model.json.

import { Tokenizer } from "@huggingface/tokenizers";
import * as ort from "onnxruntime-web";
import { largest, marginals, softmax, sum, viterbi } from "./crf.mjs";
import { TextScores, WordScores } from "./linear.mjs";
import { Splitter } from "./splitter.mjs";

const WINDOW = 256; // tokens of a language model's window; any size gives the same answers
// Where `bpe` divides a line. JavaScript's \s is not the one that the models were trained with.
const PIECES =
  "'(?:s|t|re|ve|m|ll|d)| ?\\p{L}+| ?\\p{N}+| ?[^\\p{White_Space}\\p{L}\\p{N}]+" +
  "|\\p{White_Space}+(?!\\P{White_Space})|\\p{White_Space}+";
const SPACES = /\p{White_Space}+/u;

/** A language model (`score`, `nextToken`), a classifier (`classify`) or a tagger (`tag`). */
export class Model {
  /** `graph`: the bytes of model.onnx; `about`: the object in model.json. */
  static async create(graph, about) {
    if (about.format !== "rnntext-model" || ![1, 2].includes(about.version)) {
      throw new Error("the .json is not of a version that is known here");
    }
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", graph));
    const hex = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
    if (about.graph.sha256 !== hex) {
      throw new Error("the .onnx and the .json are of two exports: export the model again");
    }
    ort.env.wasm.numThreads = 1;
    ort.env.logLevel = "error";
    return new Model(await ort.InferenceSession.create(graph), about);
  }

  static async open(path) {
    const { readFile } = await import("node:fs/promises");
    const sidecar = `${path.replace(/\.onnx$/, "")}.json`;
    return Model.create(await readFile(path), JSON.parse(await readFile(sidecar, "utf8")));
  }

  constructor(session, about) {
    Object.assign(this, { session, about, labels: about.labels, settings: about.tokenizer });
    const json = structuredClone(this.settings.json);
    this.vocabulary = new Map(Object.entries(json.model.vocab));
    // Lower case and the division of a line are done here, as the library does both otherwise.
    json.normalizer = null;
    if (this.settings.kind === "bpe") json.pre_tokenizer.use_regex = false;
    if (["bpe", "byte"].includes(this.settings.kind)) this.tokenizer = new Tokenizer(json, {});
    this.pieces = new RegExp(PIECES, "gu");
    this.words = new RegExp(about.word_pattern, "gu");
    if (about.splitter) this.splitter = new Splitter(about.splitter);
    if (about.linear !== null) {
      const ofWords = about.task === "tag";
      this.linear = ofWords
        ? new WordScores(about.linear)
        : new TextScores(about.linear, this.labels.length);
    }
  }

  /** The answer to a text, whatever the model's task. */
  async answer(text) {
    if (this.about.task === "lm") return this.score(text);
    return this.about.task === "tag" ? this.tag(text) : this.classify(text);
  }

  // Text to ids

  /** The ids of one line, without its end. */
  line(line) {
    const { kind, lowercase, presplit, prefix, unknown } = this.settings;
    let text = prefix + line;
    // Character by character: the form of a letter does not depend on its neighbours.
    if (lowercase) text = Array.from(text, (c) => c.toLowerCase()).join("");
    if (kind === "bpe") return (text.match(this.pieces) ?? []).flatMap((piece) => this.encode(piece));
    if (kind === "byte") return this.encode(text);
    let tokens = Array.from(text); // char
    if (kind === "word") {
      tokens = presplit ? text.split(SPACES).filter(Boolean) : (text.match(this.words) ?? []);
    }
    return tokens.map((token) => this.vocabulary.get(token) ?? unknown);
  }

  encode(text) {
    return this.tokenizer.encode(text, { add_special_tokens: false }).ids;
  }

  /** The ids of a text: each line by itself, the end of a line between. */
  ids(text) {
    const [first, ...others] = text.split("\n").map((line) => this.line(line));
    return first.concat(...others.map((ids) => [this.settings.line_end, ...ids]));
  }

  /** The ids of a tagger's word, at least one and at most `max_word_tokens`. */
  word(word) {
    const { kind, presplit, lowercase, max_word_tokens: most } = this.settings;
    if (kind === "word" && !presplit) {
      const spelled = lowercase ? Array.from(word, (c) => c.toLowerCase()).join("") : word;
      return [this.vocabulary.get(spelled) ?? this.about.empty];
    }
    const ids = this.line(word);
    if (ids.length > most) return [...ids.slice(0, most / 2), ...ids.slice(-most / 2)];
    return ids.length ? ids : [this.about.empty];
  }

  // The graph

  /** What has been read before the first token. Empty for a bidirectional model. */
  state() {
    return Object.fromEntries(
      Object.entries(this.about.state).map(([name, { shape, value }]) => {
        const values = new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(value);
        return [name, new ort.Tensor("float32", values, shape)];
      }),
    );
  }

  /** Read some ids. Return the outputs, as numbers, and the state after them. */
  async run(outputs, ids, state, more = {}) {
    const feeds = {
      ids: int64(ids, [1, ids.length]),
      lengths: new ort.Tensor("int32", Int32Array.of(ids.length), [1]),
      ...state,
    };
    for (const [name, values] of Object.entries(more)) feeds[name] = int64(values, [values.length]);
    const names = Object.keys(state);
    const found = await this.session.run(feeds, [...outputs, ...names.map((n) => `next_${n}`)]);
    const next = Object.fromEntries(names.map((name) => [name, found[`next_${name}`]]));
    return [outputs.map((name) => Array.from(found[name].data)), next];
  }

  // A classifier

  /** The probability of each label. */
  async classify(text) {
    let ids = this.ids(text);
    if (ids.length === 0) ids = [this.about.empty];
    let state = this.state();
    const carries = Object.keys(state).length > 0;
    let logits = new Array(this.labels.length).fill(0);
    for (const window of windows(ids, this.about.max_length)) {
      let found;
      [[found], state] = await this.run(["logits"], window, state);
      // The state of the last window knows of all others; without a state, a weighted mean.
      const weight = window.length / ids.length;
      logits = carries ? found : logits.map((logit, i) => logit + found[i] * weight);
    }
    if (this.linear) logits = sum(logits, this.linear.logits(text));
    const likely = this.about.multi_label
      ? logits.map((logit) => 1 / (1 + Math.exp(-logit)))
      : softmax(logits);
    return Object.fromEntries(this.labels.map((label, i) => [label, likely[i]]));
  }

  // A language model

  /** The surprisal of a text and of the end of its last line, in bits. */
  async score(text) {
    const targets = [...this.ids(text), this.settings.line_end];
    const inputs = windows([this.settings.line_end, ...targets.slice(0, -1)], WINDOW);
    let state = this.state();
    let nats = 0;
    for (const [number, part] of windows(targets, WINDOW).entries()) {
      const asked = { scored: [...part.keys()], targets: part, positions: [] };
      let found;
      [[found], state] = await this.run(["log_probabilities"], inputs[number], state, asked);
      nats -= found.reduce((a, b) => a + b, 0);
    }
    const unknown = targets.filter((id) => id === this.settings.unknown).length;
    const perplexity = Math.exp(Math.min(nats / targets.length, 700));
    return { bits: nats / Math.LN2, tokens: targets.length, unknown, perplexity };
  }

  /** The probability of each token of the vocabulary to follow a prompt. */
  async nextToken(prompt) {
    let ids = this.ids(prompt);
    if (prompt === "" || prompt.endsWith("\n")) {
      // Of a line that has not begun nothing is read, not even the prefix.
      ids = ids.slice(0, ids.length - this.line("").length);
    }
    let state = this.state();
    let logits;
    for (const window of windows([this.settings.line_end, ...ids], WINDOW)) {
      const asked = { positions: [window.length - 1], scored: [], targets: [] };
      [[logits], state] = await this.run(["logits"], window, state, asked);
    }
    return softmax(logits);
  }

  // A tagger

  /** The words of a raw sentence: as was learned, else by the rule. */
  split(text) {
    return this.splitter ? this.splitter.words(text) : (text.match(this.words) ?? []);
  }

  /** The tag of each word and its probability. `words`: a list, or a text to be split. */
  async tag(words) {
    if (typeof words === "string") words = this.split(words);
    const answer = { words, tags: [], probabilities: [] };
    let state = this.state();
    for (const piece of this.divide(words)) {
      const [ids, first, last] = [[], [], []];
      for (const { before, own } of piece) {
        first.push(ids.length + before.length);
        ids.push(...before, ...own);
        last.push(ids.length - 1);
      }
      const names = ["emissions", ...this.about.path_scores];
      let found;
      [found, state] = await this.run(names, ids, state, { first, last });
      let [flat, ...paths] = found;
      let emissions = windows(flat, this.labels.length);
      if (this.linear) {
        const added = this.linear.emissions(piece.map(({ word }) => word));
        emissions = emissions.map((scores, i) => sum(scores, added[i]));
        paths = this.linear.pathScores().map((scores, i) => sum(scores, paths[i]));
      }
      // Without scores of paths each tag is chosen by itself.
      const path = paths.length ? viterbi(emissions, ...paths) : emissions.map(largest);
      const likely = paths.length ? marginals(emissions, ...paths) : emissions.map(softmax);
      answer.tags.push(...path.map((label) => this.labels[label]));
      answer.probabilities.push(...path.map((label, i) => likely[i][label]));
    }
    return answer;
  }

  /** Divide a sentence between words into pieces of at most `max_length` tokens. */
  divide(words) {
    const pieces = [];
    let size = Infinity;
    words.forEach((word, number) => {
      const before = number ? this.settings.between_words : [];
      const own = this.word(word);
      size += before.length + own.length;
      if (size > this.about.max_length) {
        pieces.push([]);
        size = before.length + own.length;
      }
      pieces.at(-1).push({ word, before, own });
    });
    return pieces;
  }
}

const int64 = (values, shape) => new ort.Tensor("int64", BigInt64Array.from(values, BigInt), shape);
/** Divide a list into parts of at most `size`. */
function windows(list, size) {
  const parts = [];
  for (let start = 0; start < list.length; start += size) parts.push(list.slice(start, start + size));
  return parts;
}

async function main([path, ...texts]) {
  const model = await Model.open(path);
  if (texts.length === 0) {
    const { text } = await import("node:stream/consumers");
    const lines = (await text(process.stdin)).split("\n").filter(Boolean);
    texts = lines.map((line) => JSON.parse(line));
  }
  for (const text of texts) console.log(JSON.stringify(await model.answer(text)));
}

const isScript = globalThis.process?.argv[1]?.endsWith("model.mjs");
if (isScript) await main(process.argv.slice(2));
