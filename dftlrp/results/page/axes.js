/**
 * Axes: how values become pixels, where ticks stand, and how numbers are written.
 *
 * @typedef {object} Span
 * @property {number} start
 * @property {number} stop
 *
 * @typedef {"linear" | "log" | "mel"} ScaleName
 *
 * @typedef {object} Scale
 * @property {(value: number) => number} toPixel
 * @property {(pixel: number) => number} toValue
 */

const DECADES = 3; // that a logarithmic axis shows at most

/** @type {Record<ScaleName, {bend: (v: number) => number, unbend: (y: number) => number}>} */
const BENDS = {
  linear: { bend: (v) => v, unbend: (y) => y },
  log: { bend: Math.log, unbend: Math.exp },
  mel: { bend: (v) => 2595 * Math.log10(1 + v / 700), unbend: (y) => 700 * (10 ** (y / 2595) - 1) },
};

/**
 * Return the lowest value that an axis of a kind shows of a span: a logarithm has no zero.
 * @param {ScaleName} name
 * @param {Span} span
 */
export function findLowest(name, span) {
  return name === "log" ? Math.max(span.start, span.stop / 10 ** DECADES) : span.start;
}

/**
 * Return the map of a span of values onto pixels; `from` is where the span starts.
 * @param {ScaleName} name
 * @param {Span} span
 * @param {number} from
 * @param {number} to
 * @returns {Scale}
 */
export function makeScale(name, span, from, to) {
  const { bend, unbend } = BENDS[name];
  const lowest = findLowest(name, span);
  const low = bend(lowest);
  const size = bend(span.stop) - low || 1;
  return {
    toPixel: (value) =>
      from + ((bend(name === "log" ? Math.max(value, lowest) : value) - low) / size) * (to - from),
    toValue: (pixel) => unbend(low + ((pixel - from) / (to - from)) * size),
  };
}

/**
 * Return a round step, 1, 2 or 5 times a power of ten, that divides a span into at most `most` parts.
 * @param {number} size
 * @param {number} most
 */
export function chooseStep(size, most) {
  const least = size / Math.max(most, 1);
  const power = 10 ** Math.floor(Math.log10(least));
  return ([1, 2, 5].find((s) => s * power >= least * (1 - 1e-9)) ?? 10) * power;
}

/**
 * Return round values of a span whose pixels lie at least `room` apart.
 * @param {ScaleName} name
 * @param {Span} span
 * @param {Scale} scale
 * @param {number} room
 */
export function placeTicks(name, span, scale, room) {
  const pixels = Math.abs(scale.toPixel(span.stop) - scale.toPixel(findLowest(name, span)));
  const size = span.stop - span.start;
  const step = chooseStep(size, pixels / room);
  /** @type {number[]} */
  const all = [];
  for (let k = Math.ceil(span.start / step - 1e-9); k * step <= span.stop + 1e-9 * size; k++) {
    all.push(Number((k * step).toPrecision(12)));
  }
  if (name === "linear") return all;
  for (let power = 10 ** Math.floor(Math.log10(span.stop)); power > span.stop / 1e4; power /= 10) {
    all.push(...[1, 2, 5].map((s) => Number((s * power).toPrecision(12))));
  }
  const lowest = findLowest(name, span);
  /** @type {number[]} */
  const kept = [];
  const rank = (/** @type {number} */ v) => (v ? Number(Math.log10(v) % 1 !== 0) : -1); // 0, powers
  for (const value of [...new Set(all)].sort((a, b) => rank(a) - rank(b) || b - a)) {
    if (value < lowest * (1 - 1e-9) || value > span.stop) continue;
    if (kept.every((k) => Math.abs(scale.toPixel(k) - scale.toPixel(value)) >= room)) kept.push(value);
  }
  return kept.sort((a, b) => a - b);
}

/**
 * Write a number with few digits and a true minus sign.
 * @param {number} value
 * @param {number} [digits]
 */
export function formatNumber(value, digits = 3) {
  if (!Number.isFinite(value)) return "–";
  const plain = Number(value.toPrecision(digits));
  const size = Math.abs(plain);
  const text = plain && (size < 1e-3 || size >= 1e6) ? plain.toExponential() : String(plain);
  return text.replace("e+", "e").replaceAll("-", "−");
}

/**
 * Write a share in per cent; a little does not become nothing.
 * @param {number} share
 */
export function formatPercent(share) {
  if (!Number.isFinite(share)) return "–";
  if (share && Math.abs(share) < 0.0005) return share > 0 ? "< 0.1 %" : "> −0.1 %";
  const digits = Math.abs(share) < 0.1 ? 1 : 0;
  return `${(100 * share).toFixed(digits)} %`.replace("-", "−");
}

/**
 * Write a value of an axis so that values `step` apart differ.
 * @param {number} value
 * @param {number} step
 */
export function formatPlace(value, step) {
  const digits = Math.min(6, Math.max(0, Math.ceil(-Math.log10(step || 1) - 1e-9)));
  return value.toFixed(digits).replace("-", "−");
}
