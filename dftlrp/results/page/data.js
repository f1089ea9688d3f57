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
 * @property {number[]} owners The explanations that it shows: those of one recording.
 * @property {PackedAxis[]} axes From top to bottom, then from left to right.
 * @property {Packed[]} signal By channel.
 * @property {Packed[][]} relevance By owner and channel.
 * @property {Amount[]} sums By owner, of all channels.
 * @property {number[][][]} units By owner: start, stop, net, favour, against; or empty.
 * @property {PackedTiles | null} tiles Those of the lists.
 * @property {number[]} scales By owner: what relevance is multiplied by to be compared.
 * @property {number} limit Relevance that then has the full colour.
 * @property {[number, number]} floor Of the level, and its unit per step from 0 to 1.
 * @property {string} unit Of the level.
 *
 * @typedef {object} PackedTiles
 * @property {PackedAxis[]} axes
 * @property {Packed[]} net By owner.
 * @property {number} limit
 *
 * @typedef {object} Tiles Relevance of the tiles of the lists.
 * @property {Axis[]} axes
 * @property {Float32Array} net
 * @property {number} limit Relevance that has the full colour.
 *
 * @typedef {object} Differing The first explanation minus another, in one domain.
 * @property {number} domain The number of the first one's domain.
 * @property {number} other
 * @property {boolean} cells Whether both have the same cells.
 * @property {number} limit
 * @property {number} tiles Limit of the tiles.
 *
 * @typedef {[number, number, number]} Ends Where a recording starts and stops, and half its rate.
 *
 * @typedef {object} Page
 * @property {number} rate The largest.
 * @property {number} start Where the recording starts and stops, in seconds; the longest of several.
 * @property {number} stop
 * @property {number} highest Frequency up to which is shown at first.
 * @property {Ends[]} ends By explanation.
 * @property {string[]} labels By explanation.
 * @property {string[]} channels
 * @property {string} word What stands before a label: more "for", "in" or "by" it.
 * @property {boolean} relative Whether relevance is compared as shares.
 * @property {PackedDomain[]} domains
 * @property {Differing[]} differences
 *
 * @typedef {object} Layer One domain of one explanation and one channel.
 * @property {PackedDomain} domain
 * @property {number} explanation
 * @property {Axis[]} axes
 * @property {Ends} ends
 * @property {Float32Array} signal
 * @property {Float32Array} relevance
 * @property {Sums} running
 * @property {number[][]} units
 * @property {Tiles | null} tiles
 * @property {number} scale
 * @property {number} limit Of the relevance as it is, without the scale.
 * @property {Amount} sums
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
 * @returns {Promise<Layer[]>}
 */
export async function readChannel(page, channel) {
  const read = async (/** @type {PackedDomain} */ domain) => {
    const c = Math.min(channel, domain.signal.length - 1);
    const signal = await decodeArray(domain.signal[c]);
    const all = await Promise.all(domain.relevance.map((own) => decodeArray(own[c])));
    const tiles = await Promise.all(domain.tiles?.net.map(decodeArray) ?? []);
    return all.map(({ values }, k) => ({
      domain,
      explanation: domain.owners[k],
      axes: domain.axes.map(unpackAxis),
      ends: page.ends[domain.owners[k]],
      signal: signal.values,
      relevance: values,
      running: addUp(domain.axes.length > 1 ? values.subarray(0, 0) : values), // of lines
      units: domain.units[k] ?? [],
      tiles: domain.tiles && {
        axes: domain.tiles.axes.map(unpackAxis),
        net: tiles[k].values,
        limit: domain.tiles.limit / domain.scales[k],
      },
      scale: domain.scales[k],
      limit: domain.limit / domain.scales[k],
      sums: domain.sums[k],
    }));
  };
  return (await Promise.all(page.domains.map(read))).flat();
}

/**
 * Return the first layer minus the second: cell by cell where they have the same, else unit by unit.
 * @param {Page} page
 * @param {Layer} first
 * @param {Layer} second
 * @param {Differing} how
 * @returns {Layer}
 */
export function subtract(page, first, second, { cells, limit, tiles }) {
  const [a, b] = [first.scale, second.scale];
  const units = first.units.map(([start, stop, net], i) => {
    const more = net * a - second.units[i][2] * b;
    return [start, stop, more, Math.max(more, 0), Math.min(more, 0)];
  });
  const relevance = cells
    ? first.relevance.map((value, i) => value * a - second.relevance[i] * b)
    : Float32Array.from(units, (unit) => unit[2]);
  const edges = Float64Array.from([...units.map(([start]) => start), units.at(-1)?.[1] ?? 0]);
  const net = first.sums.net * a - second.sums.net * b;
  return {
    ...first,
    axes: cells ? first.axes : [{ ...first.axes[0], edges }],
    ends: [page.start, page.stop, page.rate / 2],
    signal: first.signal === second.signal ? first.signal : new Float32Array(0),
    relevance,
    running: addUp(relevance),
    units,
    tiles: first.tiles && {
      axes: first.tiles.axes,
      net: first.tiles.net.map((net, i) => net * a - (second.tiles?.net[i] ?? 0) * b),
      limit: tiles,
    },
    scale: 1,
    limit,
    sums: { net, favour: Math.max(net, 0), against: Math.min(net, 0) },
  };
}

/**
 * Return the ends of an axis: those of the recording, where it is time or frequency.
 * @param {Ends} ends
 * @param {Axis} axis
 * @returns {Span}
 */
export function limitAxis([start, stop, hertz], { unit, edges }) {
  if (unit === "s") return { start, stop };
  if (unit === "Hz") return { start: 0, stop: hertz };
  return { start: edges[0], stop: edges[edges.length - 1] };
}
