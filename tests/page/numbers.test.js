// Laws of the numbers in the page: arrays, axes, views, cells and sounds.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

import * as axes from "./page/axes.js";
import { decodeArray } from "./page/decode.js";
import * as measure from "./page/measure.js";
import * as sound from "./page/sound.js";
import * as view from "./page/view.js";

const near = (found, wanted, room = 1e-9) =>
  assert.ok(Math.abs(found - wanted) <= room, `${found} is not ${wanted}`);

test("arrays that Python packed come back, and so do sums over any span", async () => {
  const { amounts, values, levels, coarse } = JSON.parse(readFileSync("packed.json", "utf-8"));
  for (const { packed, plain } of [amounts, values, levels, coarse]) {
    const { shape, values: found } = await decodeArray(packed);
    assert.deepEqual(shape, packed.shape);
    const flat = plain.flat();
    found.forEach((v, i) => near(v, flat[i], 1.01 * packed.scale + 1e-7));
  }
  const { values: found } = await decodeArray(amounts.packed);
  const columns = amounts.packed.shape[1];
  for (let row = 0; row < amounts.packed.shape[0]; row++) {
    const total = found.slice(row * columns, (row + 1) * columns).reduce((a, b) => a + b, 0);
    near(total, amounts.plain[row].reduce((a, b) => a + b, 0), amounts.packed.scale);
  }
});

test("an array that was cut off is refused", async () => {
  const { levels } = JSON.parse(readFileSync("packed.json", "utf-8"));
  await assert.rejects(decodeArray({ ...levels.packed, shape: [1, 1] }), /damaged/);
});

for (const name of ["linear", "log", "mel"]) {
  test(`a ${name} axis leads to pixels and back, and its ticks stand apart and inside`, () => {
    for (const stop of [0.7, 180, 4000, 22050]) {
      const span = { start: 0, stop };
      const scale = axes.makeScale(name, span, 300, 20);
      const lowest = axes.findLowest(name, span);
      near(scale.toPixel(lowest), 300, 1e-6);
      near(scale.toPixel(stop), 20, 1e-6);
      for (const share of [0.01, 0.3, 0.9]) near(scale.toValue(scale.toPixel(share * stop)), share * stop, 1e-9 * stop);
      const ticks = axes.placeTicks(name, span, scale, 26);
      assert.ok(ticks.length >= 3 && ticks.length <= 12, String(ticks));
      assert.ok(ticks.every((t) => t >= lowest * (1 - 1e-9) && t <= stop * (1 + 1e-9)));
      const pixels = ticks.map(scale.toPixel);
      pixels.slice(1).forEach((p, i) => assert.ok(pixels[i] - p >= 25.9));
    }
  });
}

test("steps are round, and numbers are written as people write them", () => {
  assert.deepEqual([0.9, 7, 31, 1000].map((s) => axes.chooseStep(s, 5)), [0.2, 2, 10, 200]);
  assert.equal(axes.formatNumber(-0.012345), "−0.0123");
  assert.equal(axes.formatNumber(-1.2e-7), "−1.2e−7");
  assert.equal(axes.formatNumber(4000), "4000");
  assert.equal(axes.formatNumber(NaN), "–");
  assert.equal(axes.formatPercent(0.1234), "12 %");
  assert.equal(axes.formatPercent(-0.0123), "−1.2 %");
  assert.equal(axes.formatPercent(1e-9), "< 0.1 %");
  assert.equal(axes.formatPlace(0.12345, 0.001), "0.123");
});

test("a view stays inside its limits and keeps what is under the pointer", () => {
  const limits = { start: 0, stop: 10 };
  const closer = view.zoom({ start: 2, stop: 6 }, limits, 0.5, 3, 0.1);
  assert.deepEqual(closer, { start: 2.5, stop: 4.5 });
  assert.deepEqual(view.zoom(closer, limits, 100, 3, 0.1), limits);
  const closest = view.zoom({ start: 2, stop: 6 }, limits, 1e-9, 3, 0.1);
  near(closest.stop - closest.start, 0.1);
  assert.ok(closest.start <= 3 && closest.stop >= 3);
  assert.deepEqual(view.pan({ start: 8, stop: 10 }, limits, 0.5), { start: 8, stop: 10 });
  assert.deepEqual(view.pan({ start: 4, stop: 6 }, limits, -0.5), { start: 3, stop: 5 });
  assert.deepEqual(view.spanBetween(12, 3, limits), { start: 3, stop: 10 });
  const span = { start: 0, stop: 2 };
  assert.equal(view.follow(span, limits, 1), span);
  assert.ok(view.follow(span, limits, 9.9).stop === 10);
});

test("a cell belongs to a span if its middle does; spans side by side share none", () => {
  const edges = Float64Array.from([-0.5, 0.5, 1.5, 2.5, 3.5]);
  const limits = { start: 0, stop: 3 };
  assert.deepEqual(measure.findCells(edges, limits, limits), [0, 4]);
  assert.deepEqual(measure.findCells(edges, { start: 0, stop: 1.2 }, limits), [0, 2]);
  assert.deepEqual(measure.findCells(edges, { start: 1.2, stop: 3 }, limits), [2, 4]);
  assert.deepEqual(measure.findCells(edges, { start: 1.1, stop: 1.2 }, limits), [2, 3]);
  assert.deepEqual(measure.snap(edges, { start: 1.1, stop: 9 }, limits), { start: 1.5, stop: 3 });
});

test("what a span and a rectangle hold", () => {
  const values = Float32Array.from([1, -2, 4, 0.5, -1, 3]);
  const running = measure.addUp(values);
  assert.deepEqual(measure.amountBetween(running, 1, 4), { net: 2.5, favour: 4.5, against: -2 });
  const found = measure.measureRectangle(values, 3, [0, 2], [1, 3]);
  assert.deepEqual(found, { net: 4, favour: 7, against: -3 });
});

const tone = (hertz, count = 3000, rate = 8000) =>
  Float32Array.from({ length: count }, (_, n) => Math.sin((2 * Math.PI * hertz * n) / rate));
const power = (x) => x.reduce((a, v) => a + v * v, 0) / x.length;

test("a band keeps the tones inside and removes those outside", () => {
  const [low, high] = [tone(440), tone(1250)];
  const both = low.map((v, i) => v + high[i]);
  const found = sound.keepBand(both, 8000, 300, 800);
  const middle = (x) => x.slice(500, 2500);
  assert.ok(power(middle(found.map((v, i) => v - low[i]))) < 1e-4 * power(low));
  const whole = sound.keepBand(both, 8000, 0, 4000);
  whole.forEach((v, i) => near(v, both[i], 1e-5));
});

test("a part comes and goes without a click", () => {
  const part = sound.cutPart(tone(440).fill(1), 1000, 2000, 64);
  assert.equal(part.length, 1000);
  assert.ok(part[0] < 1e-3 && part[999] < 1e-3);
  assert.equal(part[500], 1);
});

test("equal loudness: quiet and loud, short and long become alike, and nothing clips", () => {
  const long = tone(300, 8000);
  const half = long.map((v, i) => (i < 1600 ? 0.01 * v : 0));
  const levels = [long, half].map((x) => {
    const gain = sound.equaliseLoudness(sound.measureLoudness([x], 8000));
    return sound.measureLoudness([x.map((v) => v * gain)], 8000).level;
  });
  near(levels[0], levels[1], 1e-6);
  const click = Float32Array.from({ length: 8000 }, (_, i) => (i === 4000 ? 0.5 : 0));
  assert.ok(0.5 * sound.equaliseLoudness(sound.measureLoudness([click], 8000)) < 1);
  assert.equal(sound.equaliseLoudness(sound.measureLoudness([new Float32Array(10)], 8000)), 1);
});
