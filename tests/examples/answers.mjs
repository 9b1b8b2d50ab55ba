// Answers of the JavaScript reference for the tests: many models in one process, which starts once.
//
// Standard input: { module: URL of model.mjs, models: [paths], texts, sentences, prompts }.
// Standard output: of each model { answers, words, next }, a line of JSON.

import { text } from "node:stream/consumers";

const asked = JSON.parse(await text(process.stdin));
const { Model } = await import(asked.module);
for (const path of asked.models) {
  const model = await Model.open(path);
  const { task } = model.about;
  const found = { answers: [], words: [], next: [] };
  for (const each of asked.texts) found.answers.push(await model.answer(each));
  if (task === "tag") {
    for (const words of asked.sentences) found.words.push(await model.tag(words));
  }
  if (task === "lm") {
    for (const prompt of asked.prompts) found.next.push(Array.from(await model.nextToken(prompt)));
  }
  console.log(JSON.stringify(found));
}
