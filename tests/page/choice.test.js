// Laws of the gallery of neurons: what is found, in which order, and where keys lead.

import assert from "node:assert/strict";
import test from "node:test";

import { choose, move } from "./page/choice.js";

const cell = (neuron, relevance, activation, words = "") => ({ neuron, relevance, activation, words });
const STRIPS = [
  { label: "Zürich", peak: 0.1, cells: [cell(7, 3, 1, "a_1.wav"), cell(12, 2, 9, "b_2.wav")] },
  { label: "7", peak: 0, cells: [cell(3, 5, 2, "c_7.wav"), cell(77, 1, 4, "B_3.wav")] },
  { label: "none", peak: 0.4, cells: [] },
];
const found = (asked) =>
  choose(STRIPS, { only: null, text: "", order: "class", ...asked }).map(({ strip, cells }) => [
    strip,
    cells.map((k) => STRIPS[strip].cells[k].neuron),
  ]);

test("without a question all are there, the most relevant first", () => {
  assert.deepEqual(found({}), [[0, [7, 12]], [1, [3, 77]], [2, []]]);
  assert.deepEqual(found({ only: 1 }), [[1, [3, 77]]]);
});

test("classes and their neurons are ordered by the same measure", () => {
  assert.deepEqual(found({ order: "relevance" }), [[1, [3, 77]], [0, [7, 12]], [2, []]]);
  assert.deepEqual(found({ order: "activation" }), [[0, [12, 7]], [1, [77, 3]], [2, []]]);
  assert.deepEqual(found({ order: "peak" }), [[2, []], [0, [7, 12]], [1, [3, 77]]]);
});

test("words name classes and recordings, whatever their case; a number names one neuron or class", () => {
  assert.deepEqual(found({ text: "ZU\u0308RICH" }), [[0, [7, 12]]]);
  assert.deepEqual(found({ text: "b_" }), [[0, [12]], [1, [77]]]);
  assert.deepEqual(found({ text: " 7 " }), [[0, [7]], [1, [3, 77]]]);
  assert.deepEqual(found({ text: "b_ 77" }), [[1, [77]]]);
  assert.deepEqual(found({ text: "nothing" }), []);
});

test("keys lead to the neighbour, over classes without neurons, and no further than the edge", () => {
  const lengths = [3, 0, 1];
  assert.deepEqual(move(lengths, [0, 0], "ArrowRight"), [0, 1]);
  assert.deepEqual(move(lengths, [0, 2], "ArrowRight"), [0, 2]);
  assert.deepEqual(move(lengths, [0, 2], "ArrowDown"), [2, 0]);
  assert.deepEqual(move(lengths, [2, 0], "ArrowDown"), [2, 0]);
  assert.deepEqual(move(lengths, [2, 0], "ArrowUp"), [0, 0]);
  assert.deepEqual(move(lengths, [0, 1], "End"), [0, 2]);
  assert.deepEqual(move(lengths, [0, 1], "Home"), [0, 0]);
  assert.deepEqual(move(lengths, [0, 1], "x"), [0, 1]);
});
