/**
 * Panes: the canvases of the page, what is drawn on each, and what lies under the pointer.
 *
 * @import { Across } from "./paint.js"
 * @import { ScaleName, Span } from "./axes.js"
 * @import { Drawn, Page } from "./data.js"
 * @import { Bar, Palette, Plot } from "./paint.js"
 */
import { findLowest, formatNumber, formatPercent, formatPlace, makeScale } from "./axes.js";
import { limitAxis } from "./data.js";
import { findCell } from "./measure.js";
import { spanBetween } from "./view.js";
import {
  gatherBars,
  paintAcross,
  paintBars,
  paintLevel,
  paintPlane,
  paintUp,
  paintWave,
  prepareCanvas,
} from "./paint.js";

const LEFT = 58;
const RIGHT = 10;
const BELOW = 24; // for the numbers of the axis
const FEW = 5; // units of the table: where fewer are in sight, finer bars are drawn

/**
 * @typedef {object} State What is looked at.
 * @property {Span} time
 * @property {Span} band
 * @property {ScaleName} scale Of frequencies.
 * @property {number} strength
 * @property {boolean} positive
 * @property {Mark} mark
 *
 * @typedef {object} Mark
 * @property {Span | null} time
 * @property {Span | null} band
 */

export class Pane {
  /** @type {Bar[]} */
  bars = [];

  /**
   * @param {HTMLElement} place
   * @param {Page} page
   * @param {number} explanation -1: only the signal is drawn.
   * @param {Drawn} drawn
   */
  constructor(place, page, explanation, drawn) {
    this.page = page;
    this.explanation = explanation;
    this.drawn = drawn;
    this.place = place;
    this.kind = drawn.domain.kind;
    this.axis = drawn.axes[drawn.axes.length - 1]; // from left to right
    const [canvas, over] = place.querySelectorAll("canvas");
    this.canvas = canvas;
    this.over = over;
  }

  /** @returns {Plot} */
  get plot() {
    const below = this.explanation < 0 || !this.place.dataset.last ? 3 : BELOW;
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight];
    return { x: LEFT, y: 3, width: width - LEFT - RIGHT, height: height - 3 - below };
  }

  /**
   * @param {State} state
   * @returns {Across}
   */
  layAcross(state) {
    const { unit } = this.axis;
    const name = unit === "Hz" ? state.scale : "linear";
    const limits = limitAxis(this.page, this.axis);
    const span = unit === "s" ? state.time : unit === "Hz" ? state.band : limits;
    const { x, width } = this.plot;
    return lay(name, span, x, x + width);
  }

  /**
   * @param {State} state
   * @returns {Across}
   */
  layUp(state) {
    const { y, height } = this.plot;
    const axis = this.drawn.axes[0];
    if (axis.unit === "Hz") return lay(state.scale, state.band, y + height, y);
    return lay("linear", limitAxis(this.page, axis), y, y + height);
  }

  /**
   * @param {State} state
   * @param {Palette} palette
   */
  paint(state, palette) {
    const context = prepareCanvas(this.canvas);
    const { plot, drawn, explanation } = this;
    if (plot.width < 20) return;
    const across = this.layAcross(state);
    if (drawn.axes.length > 1) {
      const up = this.layUp(state);
      paintPlane(context, plot, across.scale, up.scale, this.#preparePlane(), state, palette);
      paintUp(context, plot, up, palette);
    } else if (explanation < 0) {
      paintWave(context, plot, across, this.#prepareWave(), palette.wave);
    } else {
      if (this.kind !== "wave") {
        paintLevel(context, plot, across, this.axis.edges, drawn.signal, palette.wave);
      }
      const all = drawn.relevance.map((_, k) => this.#listBars(across, k));
      this.bars = all[explanation];
      paintBars(context, plot, this.bars, palette, { ...state, all: all.flat() });
    }
    paintAcross(context, plot, across, palette, this.place.dataset.last ? this.axis.label : "");
  }

  #preparePlane() {
    const { axes, signal, relevance, domain } = this.drawn;
    const one = relevance[this.explanation];
    const [rows, columns] = [axes[0].edges, axes[1].edges];
    return { rows, columns, level: signal, relevance: one, limit: domain.limit };
  }

  #prepareWave() {
    const count = this.axis.edges.length - 1;
    const [low, high] = [this.drawn.signal.subarray(0, count), this.drawn.signal.subarray(count)];
    const top = 1.05 * high.reduce((a, v, i) => Math.max(a, v, -low[i]), 0) || 1;
    return { edges: this.axis.edges, low, high, top };
  }

  /**
   * Return the units of the table; finer bars where there is no table, or few of these are seen.
   * @param {Across} across
   * @param {number} explanation
   * @returns {Bar[]}
   */
  #listBars(across, explanation) {
    const { drawn, plot } = this;
    const { scale, span } = across;
    const seen = (drawn.domain.units[explanation] ?? []).filter(
      ([start, stop]) => stop > span.start && start < span.stop,
    );
    if (seen.length < FEW) {
      return gatherBars(plot, across, this.axis.edges, drawn.running[explanation]);
    }
    return seen.map(([start, stop, net, favour, against]) => {
      const left = scale.toPixel(Math.max(start, span.start));
      return { left, right: scale.toPixel(stop), net, favour, against };
    });
  }

  /**
   * Say what lies under a point.
   * @param {State} state
   * @param {number} x
   * @param {number} y
   */
  describe(state, x, y) {
    const across = this.layAcross(state);
    const value = across.scale.toValue(x);
    const { unit, edges } = this.axis;
    const at = `${writePlace(value, unit, across, x)}`;
    if (this.drawn.axes.length > 1) return this.#describeCell(state, value, at, y);
    const level = this.#describeLevel(findCell(edges, value));
    const bar = this.bars.find((b) => x >= b.left && x < b.right);
    if (!bar) return `${at} · ${level}`;
    const [left, right] = [bar.left, bar.right].map((p) => across.scale.toValue(p));
    const step = (right - left) / 10;
    const between = `${formatPlace(left, step)} to ${formatPlace(right, step)} ${unit}`;
    return `${between} · ${level} · ${this.#describeAmount(bar.net)}`;
  }

  /** @param {number} i */
  #describeLevel(i) {
    const { signal, domain } = this.drawn;
    if (domain.kind !== "wave") return this.#writeLevel(signal[i]);
    return `level ${formatNumber(signal[i])} to ${formatNumber(signal[i + signal.length / 2])}`;
  }

  /** @param {number} level From 0 to 1. */
  #writeLevel(level) {
    const { floor, unit } = this.drawn.domain;
    return `${formatNumber(floor[0] + level * floor[1])} ${unit}`.trim();
  }

  /**
   * @param {State} state
   * @param {number} value
   * @param {string} at
   * @param {number} y
   */
  #describeCell(state, value, at, y) {
    const up = this.layUp(state);
    const [rows, columns] = this.drawn.axes;
    const other = up.scale.toValue(y);
    const i =
      findCell(rows.edges, other) * (columns.edges.length - 1) + findCell(columns.edges, value);
    const place = `${at} · ${writePlace(other, rows.unit, up, y)}`;
    const amount = this.#describeAmount(this.drawn.relevance[this.explanation][i]);
    return `${place} · ${this.#writeLevel(this.drawn.signal[i])} · ${amount}`;
  }

  /** @param {number} amount */
  #describeAmount(amount) {
    const whole = this.drawn.domain.sums[this.explanation].net;
    const sign = amount > 0 ? "for" : amount < 0 ? "against" : "neither for nor against";
    return `relevance ${formatNumber(amount)}, ${sign} (${formatPercent(amount / whole)} of all)`;
  }

  /**
   * Return the span of each axis between two points of the pane, inside the recording.
   * @param {State} state
   * @param {[number, number]} a
   * @param {[number, number]} b
   * @returns {Mark}
   */
  markBetween(state, a, b) {
    const along = this.layAcross(state).scale;
    const limits = limitAxis(this.page, this.axis);
    const across = spanBetween(along.toValue(a[0]), along.toValue(b[0]), limits);
    if (this.axis.unit === "Hz") return { time: null, band: across };
    if (this.kind !== "plane") return { time: across, band: null };
    const up = this.layUp(state).scale;
    const heights = limitAxis(this.page, this.drawn.axes[0]);
    return { time: across, band: spanBetween(up.toValue(a[1]), up.toValue(b[1]), heights) };
  }

  /**
   * Draw the cursor, the mark and what the pointer is at.
   * @param {State} state
   * @param {Palette} palette
   * @param {number} position Seconds.
   * @param {{time: number | null, band: number | null}} pointed
   */
  paintOver(state, palette, position, pointed) {
    const context = prepareCanvas(this.over);
    const { plot, axis } = this;
    const across = this.layAcross(state);
    const up = this.kind === "plane" ? this.layUp(state) : null;
    context.save();
    context.beginPath();
    context.rect(plot.x, plot.y, plot.width, plot.height);
    context.clip();
    const own = axis.unit === "s" ? state.mark.time : axis.unit === "Hz" ? state.mark.band : null;
    const band = state.mark.band;
    const box = { ...plot };
    if (own) {
      box.x = across.scale.toPixel(own.start);
      box.width = across.scale.toPixel(own.stop) - box.x;
    }
    if (up && band) {
      box.y = up.scale.toPixel(band.stop);
      box.height = up.scale.toPixel(band.start) - box.y;
    }
    if (own || (up && band)) this.#paintMark(context, palette, box);
    context.fillStyle = palette.soft;
    const at = axis.unit === "s" ? pointed.time : axis.unit === "Hz" ? pointed.band : null;
    if (at !== null) context.fillRect(across.scale.toPixel(at), plot.y, 1, plot.height);
    if (up && pointed.band !== null) {
      context.fillRect(plot.x, up.scale.toPixel(pointed.band), plot.width, 1);
    }
    if (axis.unit === "s") {
      context.fillStyle = palette.ink;
      context.fillRect(across.scale.toPixel(position) - 1, plot.y, 2, plot.height);
    }
    context.restore();
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Palette} palette
   * @param {Plot} box
   */
  #paintMark(context, palette, box) {
    const { plot } = this;
    context.fillStyle = palette.paper;
    context.globalAlpha = 0.55;
    context.beginPath();
    context.rect(plot.x, plot.y, plot.width, plot.height);
    context.rect(box.x, box.y, box.width, box.height);
    context.fill("evenodd");
    context.globalAlpha = 1;
    context.strokeStyle = palette.ink;
    context.lineWidth = 1.5;
    context.strokeRect(box.x, box.y, box.width, box.height);
  }
}

/**
 * @param {ScaleName} name
 * @param {Span} span
 * @param {number} from
 * @param {number} to
 * @returns {Across}
 */
function lay(name, span, from, to) {
  const shown = { start: findLowest(name, span), stop: span.stop };
  return { name, span: shown, scale: makeScale(name, span, from, to) };
}

/**
 * Write a place as finely as a pixel tells it.
 * @param {number} value
 * @param {string} unit
 * @param {Across} across
 * @param {number} pixel
 */
function writePlace(value, unit, { scale }, pixel) {
  const step = Math.abs(scale.toValue(pixel + 1) - scale.toValue(pixel));
  return `${formatPlace(value, step)} ${unit}`.trim();
}
