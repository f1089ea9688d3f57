/**
 * Numbers about parts of an explanation: which cells a span holds, and how much relevance these.
 *
 * A cell belongs to a span if its middle lies there, so a span that starts and stops at edges of
 * cells holds what `Explanation.share` counts.
 *
 * @import { Span } from "./axes.js"
 *
 * @typedef {object} Axis
 * @property {string} label
 * @property {string} unit
 * @property {Float64Array} edges One more than there are cells.
 *
 * @typedef {object} Amount
 * @property {number} net
 * @property {number} favour The sum of what is positive.
 * @property {number} against The sum of what is negative.
 *
 * @typedef {object} Sums Sums of all values before each.
 * @property {Float64Array} net
 * @property {Float64Array} favour
 */

/**
 * @param {Float32Array} values
 * @returns {Sums}
 */
export function addUp(values) {
  const net = new Float64Array(values.length + 1);
  const favour = new Float64Array(values.length + 1);
  for (let i = 0; i < values.length; i++) {
    net[i + 1] = net[i] + values[i];
    favour[i + 1] = favour[i] + Math.max(values[i], 0);
  }
  return { net, favour };
}

/**
 * Return the amount of the cells from `first` to before `last`.
 * @param {Sums} sums
 * @param {number} first
 * @param {number} last
 * @returns {Amount}
 */
export function amountBetween(sums, first, last) {
  const net = sums.net[last] - sums.net[first];
  const favour = sums.favour[last] - sums.favour[first];
  return { net, favour, against: net - favour };
}

/**
 * Return the number of the cell that holds a value; the nearest if none does.
 * @param {Float64Array} edges
 * @param {number} value
 */
export function findCell(edges, value) {
  let low = 0;
  let high = edges.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (edges[middle] <= value) low = middle;
    else high = middle;
  }
  return low;
}

/**
 * Return the first cell of a span and the one after its last; none of a span that lies
 * behind the limits, else at least one. What lies outside the limits belongs to what is next to them.
 * @param {Float64Array} edges
 * @param {Span} span
 * @param {Span} limits
 * @returns {[number, number]}
 */
export function findCells(edges, span, limits) {
  const count = edges.length - 1;
  const from = (/** @type {number} */ value) => {
    const i = findCell(edges, value);
    return (edges[i] + edges[i + 1]) / 2 < value ? i + 1 : i;
  };
  if (span.start >= limits.stop && span.stop > limits.stop) return [count, count];
  const first = span.start <= limits.start ? 0 : Math.min(from(span.start), count - 1);
  const last = span.stop >= limits.stop ? count : from(span.stop);
  return [first, Math.max(last, first + 1)];
}

/**
 * Return a span that starts and stops at edges of cells.
 * @param {Float64Array} edges
 * @param {Span} span
 * @param {Span} limits
 * @returns {Span}
 */
export function snap(edges, span, limits) {
  const [first, last] = findCells(edges, span, limits);
  return {
    start: Math.max(edges[first], limits.start),
    stop: Math.min(edges[last], limits.stop),
  };
}

/**
 * Return the amount of a rectangle of cells.
 * @param {Float32Array} values
 * @param {number} columns
 * @param {[number, number]} rows
 * @param {[number, number]} inside Columns.
 * @returns {Amount}
 */
export function measureRectangle(values, columns, rows, inside) {
  let net = 0;
  let favour = 0;
  for (let f = rows[0]; f < rows[1]; f++) {
    for (let t = inside[0]; t < inside[1]; t++) {
      const value = values[f * columns + t];
      net += value;
      if (value > 0) favour += value;
    }
  }
  return { net, favour, against: net - favour };
}
