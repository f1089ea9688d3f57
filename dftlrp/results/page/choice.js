/**
 * Which neurons of the gallery are shown, and in which order.
 *
 * @typedef {"class" | "relevance" | "activation" | "peak"} Order
 *
 * @typedef {object} Cell A neuron of a class.
 * @property {number} neuron
 * @property {number} relevance
 * @property {number} activation
 * @property {string} words Of the recordings that stand for it.
 *
 * @typedef {object} Strip A class with its strongest neurons.
 * @property {string} label
 * @property {number} peak Share of its relevance that lies in narrow peaks.
 * @property {Cell[]} cells
 *
 * @typedef {object} Seen
 * @property {number} strip Its number.
 * @property {number[]} cells Their numbers.
 */

/**
 * Return text as it is compared: letters of any case and any way to write accents are the same.
 * @param {string} text
 */
function fold(text) {
  return text.normalize("NFKC").toLowerCase();
}

/**
 * Return whether a neuron, its class or one of its recordings is meant by each word of a text.
 * A number means the neuron or the class of just this number.
 * @param {string[]} words
 * @param {Strip} strip
 * @param {Cell} cell
 */
function isMeant(words, { label }, { neuron, words: own }) {
  return words.every((word) => {
    if (/^\d+$/.test(word)) return Number(word) === neuron || word === fold(label);
    return fold(label).includes(word) || fold(own).includes(word);
  });
}

/**
 * Return what is shown of the classes, in order; the largest first.
 * @param {Strip[]} strips
 * @param {{only: number | null, text: string, order: Order}} asked `only`: the number of a class.
 * @returns {Seen[]}
 */
export function choose(strips, { only, text, order }) {
  const words = fold(text).split(/\s+/).filter(Boolean);
  const by = order === "activation" ? "activation" : "relevance";
  const seen = strips.flatMap((strip, i) => {
    if (only !== null && i !== only) return [];
    const cells = strip.cells.map((_, k) => k).filter((k) => isMeant(words, strip, strip.cells[k]));
    if (!cells.length && (words.length || strip.cells.length)) return [];
    cells.sort((a, b) => strip.cells[b][by] - strip.cells[a][by] || a - b);
    return [{ strip: i, cells }];
  });
  if (order === "class") return seen;
  const value = (/** @type {Seen} */ { strip, cells }) => {
    if (order === "peak") return strips[strip].peak;
    return cells.length ? strips[strip].cells[cells[0]][by] : -Infinity;
  };
  return seen.sort((a, b) => value(b) - value(a) || a.strip - b.strip);
}

/**
 * Return the place that a key leads to in rows of some lengths; the place itself at an edge.
 * @param {number[]} lengths
 * @param {[number, number]} place Row and column.
 * @param {string} key
 * @returns {[number, number]}
 */
export function move(lengths, [row, column], key) {
  const inside = (/** @type {number} */ r, /** @type {number} */ c) =>
    /** @type {[number, number]} */ ([r, Math.max(0, Math.min(c, lengths[r] - 1))]);
  if (key === "Home") return [row, 0];
  if (key === "End") return inside(row, Infinity);
  if (key === "ArrowLeft" && column > 0) return [row, column - 1];
  if (key === "ArrowRight" && column < lengths[row] - 1) return [row, column + 1];
  const by = { ArrowUp: -1, ArrowDown: 1 }[key] ?? 0;
  for (let r = row + by; by && r >= 0 && r < lengths.length; r += by) {
    if (lengths[r]) return inside(r, column);
  }
  return [row, column];
}
