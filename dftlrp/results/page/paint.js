/**
 * Pictures on a canvas.  Red stands above zero or is plain, blue hangs below zero or is striped, so
 * that a sign is never told by colour alone.
 *
 * @import { ScaleName, Scale, Span } from "./axes.js"
 * @import { Sums } from "./measure.js"
 * @import { Tiles } from "./data.js"
 */
import { formatNumber, formatPercent, placeTicks } from "./axes.js";
import { amountBetween, findCell } from "./measure.js";

const COLUMN = 3; // pixels of a bar
const STRIPE = 3; // pixels
const GREY = 0.7; // of the way from paper to ink: where the loudest cells lie
const GREYS = 255; // steps of a level
const FAINT = 1.6; // above 1, what is far below the peak is fainter
const CURVE = 0.55; // below 1, weak relevance is seen earlier
const FONT = "12px system-ui, sans-serif";

/**
 * @typedef {object} Palette
 * @property {string} paper
 * @property {string} ink
 * @property {string} soft
 * @property {string} line
 * @property {string} favour
 * @property {string} against
 * @property {string} wave
 *
 * @typedef {object} Plot A rectangle in CSS pixels.
 * @property {number} x
 * @property {number} y
 * @property {number} width
 * @property {number} height
 *
 * @typedef {object} Across The axis from left to right.
 * @property {ScaleName} name
 * @property {Span} span
 * @property {Scale} scale
 *
 * @typedef {object} Plane
 * @property {Float64Array} rows Edges.
 * @property {Float64Array} columns Edges.
 * @property {Float32Array} level From 0 to 1.
 * @property {Float32Array} relevance
 * @property {number} limit Relevance that has the full colour.
 * @property {Tiles | null} [tiles] What is drawn instead of the relevance of single cells.
 *
 * @typedef {object} Look
 * @property {number} strength Factor of the relevance.
 * @property {boolean} positive Whether only what is positive is shown.
 */

/**
 * Make a canvas as sharp as the screen; return its context, in CSS pixels.
 * @param {HTMLCanvasElement} canvas
 */
export function prepareCanvas(canvas) {
  const density = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const [wide, high] = [Math.round(width * density), Math.round(height * density)];
  if (canvas.width !== wide || canvas.height !== high) {
    canvas.width = wide;
    canvas.height = high;
  }
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.setTransform(density, 0, 0, density, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = FONT;
  return context;
}

/**
 * Return the colours of an element's style.
 * @param {Element} element
 * @returns {Palette}
 */
export function readPalette(element) {
  const style = getComputedStyle(element);
  const read = (/** @type {string} */ name) => style.getPropertyValue(`--${name}`).trim();
  return {
    paper: read("card"),
    ink: read("ink"),
    soft: read("soft"),
    line: read("line"),
    favour: read("for"),
    against: read("against"),
    wave: read("wave"),
  };
}

/**
 * @param {string} colour As in "#1f2328".
 * @returns {[number, number, number]}
 */
export function readColour(colour) {
  const whole = parseInt(colour.trim().slice(1), 16);
  return [whole >> 16, (whole >> 8) & 255, whole & 255];
}

/**
 * Draw the frame, and the ticks of the axis from left to right.
 * @param {CanvasRenderingContext2D} context
 * @param {Plot} plot
 * @param {Across} across
 * @param {Palette} palette
 * @param {string} label Of the axis; without it no numbers are written.
 */
export function paintAcross(context, plot, { name, span, scale }, palette, label) {
  const bottom = plot.y + plot.height;
  context.strokeStyle = palette.line;
  context.lineWidth = 1;
  context.strokeRect(plot.x + 0.5, plot.y + 0.5, plot.width - 1, plot.height - 1);
  if (!label) return;
  context.fillStyle = palette.soft;
  context.textBaseline = "top";
  const width = context.measureText(label).width;
  context.textAlign = "right";
  context.fillText(label, plot.x + plot.width, bottom + 7);
  context.textAlign = "center";
  for (const tick of placeTicks(name, span, scale, 70)) {
    const x = scale.toPixel(tick);
    context.fillRect(x, bottom, 1, 4);
    if (x < plot.x + plot.width - width - 24) context.fillText(formatNumber(tick, 6), x, bottom + 7);
  }
}

/**
 * Draw the ticks of the axis from bottom to top.
 * @param {CanvasRenderingContext2D} context
 * @param {Plot} plot
 * @param {Across} up
 * @param {Palette} palette
 */
export function paintUp(context, plot, { name, span, scale }, palette) {
  context.fillStyle = palette.soft;
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (const tick of placeTicks(name, span, scale, 26)) {
    const y = scale.toPixel(tick);
    context.fillRect(plot.x - 4, y, 4, 1);
    const inside = Math.min(Math.max(y, plot.y + 5), plot.y + plot.height - 3);
    context.fillText(formatNumber(tick, 6), plot.x - 7, inside);
  }
}

/**
 * Draw the range of the samples of each pixel.
 * @param {CanvasRenderingContext2D} context
 * @param {Plot} plot
 * @param {Across} across
 * @param {{edges: Float64Array, low: Float32Array, high: Float32Array, top: number}} wave
 * @param {string} colour
 */
export function paintWave(context, plot, { scale }, { edges, low, high, top }, colour) {
  const middle = plot.y + plot.height / 2;
  const toY = (/** @type {number} */ v) => middle - (v / top) * (plot.height / 2 - 2);
  context.fillStyle = colour;
  const end = edges[edges.length - 1];
  for (let x = 0; x < plot.width && scale.toValue(plot.x + x) < end; x++) {
    const first = findCell(edges, scale.toValue(plot.x + x));
    const last = Math.max(first, findCell(edges, scale.toValue(plot.x + x + 1)));
    let [least, most] = [low[first], high[first]];
    for (let i = first + 1; i <= last; i++) {
      least = Math.min(least, low[i]);
      most = Math.max(most, high[i]);
    }
    context.fillRect(plot.x + x, toY(most), 1, Math.max(toY(least) - toY(most), 1));
  }
}

/**
 * Draw the largest level of each pixel as a grey shape that stands on the floor.
 * @param {CanvasRenderingContext2D} context
 * @param {Plot} plot
 * @param {Across} across
 * @param {Float64Array} edges
 * @param {Float32Array} level From 0 to 1.
 * @param {string} colour
 */
export function paintLevel(context, plot, { scale }, edges, level, colour) {
  context.fillStyle = colour;
  context.globalAlpha = 0.35;
  const end = edges[edges.length - 1];
  for (let x = 0; x < plot.width && scale.toValue(plot.x + x) < end; x++) {
    const first = findCell(edges, scale.toValue(plot.x + x));
    const last = Math.max(first, findCell(edges, scale.toValue(plot.x + x + 1)));
    const height = level.subarray(first, last + 1).reduce((a, b) => Math.max(a, b), 0) * plot.height;
    context.fillRect(plot.x + x, plot.y + plot.height - height, 1, height);
  }
  context.globalAlpha = 1;
}

/**
 * @typedef {object} Bar
 * @property {number} left
 * @property {number} right
 * @property {number} net
 * @property {number} favour
 * @property {number} against
 */

/**
 * Return the bars of cells that are added up, some pixels each; a cell is wholly in one bar.
 * @param {Plot} plot
 * @param {Across} across
 * @param {Float64Array} edges
 * @param {Sums} sums
 * @returns {Bar[]}
 */
export function gatherBars(plot, { span, scale }, edges, sums) {
  const first = findCell(edges, span.start);
  const last = Math.min(findCell(edges, span.stop) + 1, edges.length - 1);
  /** @type {Bar[]} */
  const bars = [];
  for (let i = first; i < last; ) {
    const left = scale.toPixel(edges[i]);
    let j = i + 1;
    while (j < last && scale.toPixel(edges[j]) - left < COLUMN) j++;
    const right = scale.toPixel(edges[j]);
    if (right > plot.x && left < plot.x + plot.width) {
      bars.push({ left, right, ...amountBetween(sums, i, j) });
    }
    i = j;
  }
  return bars;
}

/**
 * Draw bars of relevance up and down from zero: pale parts, solid net.
 * @param {CanvasRenderingContext2D} context
 * @param {Plot} plot
 * @param {Bar[]} bars
 * @param {Palette} palette
 * @param {{positive: boolean, all: Bar[], relative: boolean}} look `all`: those that share the
 *   scale; `relative`: whether they are shares.
 */
export function paintBars(context, plot, bars, palette, { positive, all, relative }) {
  const high = Math.max(...all.map((b) => b.favour), 0);
  const low = positive ? 0 : Math.min(...all.map((b) => b.against), 0);
  const room = Math.max(high, -low) || 1;
  const top = Math.max(1.05 * high, 0.2 * room);
  const bottom = Math.min(1.05 * low, -0.08 * room);
  const toY = (/** @type {number} */ v) => plot.y + ((top - v) / (top - bottom)) * plot.height;
  context.save();
  context.beginPath();
  context.rect(plot.x, plot.y, plot.width, plot.height);
  context.clip();
  const draw = (/** @type {Bar} */ bar, /** @type {number} */ value, /** @type {number} */ alpha) => {
    context.globalAlpha = alpha;
    context.fillStyle = value > 0 ? palette.favour : palette.against;
    const gap = bar.right - bar.left > 6 ? 1 : 0;
    const y = Math.min(toY(value), toY(0));
    context.fillRect(bar.left, y, bar.right - bar.left - gap, Math.abs(toY(value) - toY(0)));
  };
  for (const bar of bars) {
    draw(bar, bar.favour, 0.3);
    if (!positive) draw(bar, bar.against, 0.3);
    if (!positive || bar.net > 0) draw(bar, bar.net, 1);
  }
  context.restore();
  context.fillStyle = palette.soft;
  context.fillRect(plot.x, toY(0), plot.width, 1);
  context.textAlign = "right";
  context.textBaseline = "middle";
  context.fillText("0", plot.x - 7, toY(0));
  if (toY(0) - plot.y > 24) {
    context.textBaseline = "top";
    const text = relative ? formatPercent(top) : formatNumber(top, 2);
    context.fillText(text, plot.x - 7, plot.y + 1);
  }
}

/**
 * Draw the cells of a plane: grey is the level, red and striped blue the relevance.
 * @param {CanvasRenderingContext2D} context
 * @param {Plot} plot
 * @param {Scale} across
 * @param {Scale} up
 * @param {Plane} plane
 * @param {Look} look
 * @param {Palette} palette
 */
export function paintPlane(context, plot, across, up, plane, look, palette) {
  const density = context.getTransform().a;
  const [wide, high] = [Math.round(plot.width * density), Math.round(plot.height * density)];
  const image = context.createImageData(wide, high);
  const { data } = image;
  const [favour, against] = [readColour(palette.favour), readColour(palette.against)];
  const greys = listGreys(readColour(palette.paper), readColour(palette.ink));
  const [lie, stand] = plane.tiles ? plane.tiles.axes.map((axis) => axis.edges) : [plane.rows, plane.columns];
  const { net, limit } = plane.tiles ?? { net: plane.relevance, limit: plane.limit };
  const [columns, over] = [plane.columns, stand].map((edges) => listCells(edges, across, plot.x, plot.width, wide));
  const [rows, beside] = [plane.rows, lie].map((edges) => listCells(edges, up, plot.y, plot.height, high));
  const levels = { values: plane.level, count: plane.columns.length - 1 };
  const amounts = { values: net, count: stand.length - 1 };
  const stripe = STRIPE * density;
  const least = look.positive ? 0 : -Infinity;
  for (let y = 0; y < high; y++) {
    const inside = spanCells(rows[y], rows[y + 1]);
    const shaded = spanCells(beside[y], beside[y + 1]);
    if (inside[0] < 0) continue;
    for (let x = 0, at = 4 * y * wide; x < wide; x++, at += 4) {
      if (columns[x] < 0) continue;
      const level = pickLargest(levels, inside, columns, x, 0);
      const relevance = pickLargest(amounts, shaded, over, x, least);
      const grey = 3 * Math.round(level * GREYS);
      let alpha = 0;
      if (relevance) alpha = Math.min(1, (Math.abs(relevance) / limit) * look.strength) ** CURVE;
      if (relevance < 0 && (x + y) % (2 * stripe) >= stripe) alpha *= 0.35;
      const colour = relevance > 0 ? favour : against;
      for (let k = 0; k < 3; k++) data[at + k] = greys[grey + k] + (colour[k] - greys[grey + k]) * alpha;
      data[at + 3] = 255;
    }
  }
  context.putImageData(image, Math.round(plot.x * density), Math.round(plot.y * density));
}

/**
 * Return the first of the cells at two edges of a pixel and the one after the last.
 * @param {number} a
 * @param {number} b
 * @returns {[number, number]}
 */
function spanCells(a, b) {
  const low = Math.min(a, b);
  return [low, Math.max(a, b, low + 1)];
}

/**
 * Return the value of largest size in a pixel; 0 outside, and of what is less than `least`.
 * @param {{values: Float32Array, count: number}} cells And how many there are in a row.
 * @param {[number, number]} rows
 * @param {Int32Array} columns
 * @param {number} x
 * @param {number} least
 */
function pickLargest({ values, count }, [low, top], columns, x, least) {
  const left = columns[x];
  if (low < 0 || left < 0) return 0;
  const right = Math.max(columns[x + 1], left + 1);
  let found = 0;
  for (let r = low; r < top; r++) {
    for (let i = r * count + left; i < r * count + right; i++) {
      const own = values[i];
      if (own >= least && Math.abs(own) > Math.abs(found)) found = own;
    }
  }
  return found;
}

/**
 * Return the grey of each level that the page holds, as red, green, blue.
 * @param {number[]} paper
 * @param {number[]} ink
 */
function listGreys(paper, ink) {
  const greys = new Float32Array(3 * (GREYS + 1));
  for (let i = 0; i <= GREYS; i++) {
    const dark = (i / GREYS) ** FAINT * GREY;
    for (let k = 0; k < 3; k++) greys[3 * i + k] = paper[k] + (ink[k] - paper[k]) * dark;
  }
  return greys;
}

/**
 * Return the cell at the edge of each device pixel and after the last; -1 outside the cells.
 * @param {Float64Array} edges
 * @param {Scale} scale
 * @param {number} start
 * @param {number} size
 * @param {number} count
 */
function listCells(edges, scale, start, size, count) {
  const cells = new Int32Array(count + 1);
  for (let i = 0; i <= count; i++) {
    const value = scale.toValue(start + (i / count) * size);
    const inside = value >= edges[0] && value <= edges[edges.length - 1];
    cells[i] = inside ? findCell(edges, value) : -1;
  }
  return cells;
}
