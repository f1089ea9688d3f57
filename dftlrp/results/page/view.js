/**
 * What is looked at: spans of axes that can be zoomed, moved and marked, within their limits.
 *
 * @import { Span } from "./axes.js"
 */

/**
 * Return a span of the same size inside the limits; no smaller than `least`, no larger than these.
 * @param {Span} span
 * @param {Span} limits
 * @param {number} least
 * @returns {Span}
 */
export function keepInside(span, limits, least) {
  const whole = limits.stop - limits.start;
  const size = Math.min(Math.max(span.stop - span.start, least), whole);
  if (size === whole) return { ...limits };
  const middle = (span.start + span.stop) / 2;
  const start = Math.min(Math.max(middle - size / 2, limits.start), limits.stop - size);
  return { start, stop: start + size };
}

/**
 * Return the span made larger by a factor, such that `centre` stays where it is.
 * @param {Span} span
 * @param {Span} limits
 * @param {number} factor
 * @param {number} centre
 * @param {number} least
 */
export function zoom(span, limits, factor, centre, least) {
  const size = (span.stop - span.start) * factor;
  const kept = Math.max(size, least) / (span.stop - span.start);
  return keepInside(
    { start: centre - (centre - span.start) * kept, stop: centre + (span.stop - centre) * kept },
    limits,
    least,
  );
}

/**
 * Return the span moved by a part of its size.
 * @param {Span} span
 * @param {Span} limits
 * @param {number} by
 */
export function pan(span, limits, by) {
  const size = span.stop - span.start;
  return keepInside({ start: span.start + by * size, stop: span.stop + by * size }, limits, size);
}

/**
 * Return the span between two points in either order, inside the limits.
 * @param {number} a
 * @param {number} b
 * @param {Span} limits
 * @returns {Span}
 */
export function spanBetween(a, b, limits) {
  const inside = (/** @type {number} */ v) => Math.min(Math.max(v, limits.start), limits.stop);
  return { start: inside(Math.min(a, b)), stop: inside(Math.max(a, b)) };
}

/**
 * Return the span moved so that it holds a point; it moves by whole pages.
 * @param {Span} span
 * @param {Span} limits
 * @param {number} point
 */
export function follow(span, limits, point) {
  if (point >= span.start && point < span.stop) return span;
  const size = span.stop - span.start;
  return keepInside({ start: point - 0.02 * size, stop: point + 0.98 * size }, limits, size);
}
