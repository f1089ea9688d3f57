/**
 * What the page shows, read from the data in it.
 *
 * @import { Packed } from "./decode.js"
 * @import { Amount, Axis, Sums } from "./measure.js"
 * @import { Span } from "./axes.js"
 */
import { decodeArray } from "./decode.js";
import { addUp } from "./measure.js";

/**
 * @typedef {"wave" | "spectrum" | "plane" | "line" | "grid"} Kind
 *   Over time; over frequency; over both; over neither, with one axis or two.
 *
 * @typedef {object} PackedAxis Its cells lie `step` apart, or their edges are listed.
 * @property {string} label
 * @property {string} unit
 * @property {number} count
 * @property {number} start
 * @property {number} step
 * @property {number} end
 * @property {number[]} edges
 *
 * @typedef {object} PackedDomain
 * @property {string} name
 * @property {string} title
 * @property {Kind} kind
 * @property {PackedAxis[]} axes From top to bottom, then from left to right.
 * @property {Packed[]} signal By channel.
 * @property {Packed[][]} relevance By explanation and channel.
 * @property {Amount[]} sums By explanation, of all channels.
 * @property {number[][][]} units By explanation: start, stop, net, favour, against; or empty.
 * @property {number} limit
 * @property {[number, number]} floor Of the level, and its unit per step from 0 to 1.
 * @property {string} unit Of the level.
 *
 * @typedef {object} Page
 * @property {number} rate
 * @property {number} seconds
 * @property {number} highest Frequency up to which is shown at first.
 * @property {number} stretch Seconds of the recording in one that is heard.
 * @property {string[]} labels By explanation.
 * @property {string[]} channels
 * @property {PackedDomain[]} domains
 *
 * @typedef {object} Drawn One domain of one channel, for all explanations.
 * @property {PackedDomain} domain
 * @property {Axis[]} axes
 * @property {Float32Array} signal
 * @property {Float32Array[]} relevance By explanation.
 * @property {Sums[]} running By explanation.
 */

/** @returns {Page} */
export function readPage() {
  return JSON.parse(/** @type {HTMLElement} */ (document.getElementById("data")).textContent ?? "");
}

/**
 * @param {PackedAxis} axis
 * @returns {Axis}
 */
function unpackAxis({ label, unit, count, start, step, end, edges }) {
  if (edges.length) return { label, unit, edges: Float64Array.from(edges) };
  const even = new Float64Array(count + 1);
  for (let i = 0; i < count; i++) even[i] = start + i * step;
  even[count] = end;
  return { label, unit, edges: even };
}

/**
 * Decode one channel; a domain that belongs to no channel has one.
 * @param {Page} page
 * @param {number} channel
 * @returns {Promise<Drawn[]>}
 */
export async function readChannel(page, channel) {
  return Promise.all(
    page.domains.map(async (domain) => {
      const c = Math.min(channel, domain.signal.length - 1);
      const signal = await decodeArray(domain.signal[c]);
      const all = await Promise.all(domain.relevance.map((own) => decodeArray(own[c])));
      const relevance = all.map((one) => one.values);
      return {
        domain,
        axes: domain.axes.map(unpackAxis),
        signal: signal.values,
        relevance,
        running: relevance.map(addUp),
      };
    }),
  );
}

/**
 * Return the ends of an axis: those of the recording, where it is time or frequency.
 * @param {Page} page
 * @param {Axis} axis
 * @returns {Span}
 */
export function limitAxis(page, { unit, edges }) {
  if (unit === "s") return { start: 0, stop: page.seconds };
  if (unit === "Hz") return { start: 0, stop: page.rate / 2 };
  return { start: edges[0], stop: edges[edges.length - 1] };
}
