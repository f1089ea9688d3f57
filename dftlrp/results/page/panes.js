/**
 * Panes: the canvases of the page, what is drawn on each, and what lies under the pointer.
 *
 * @import { Across } from "./paint.js"
 * @import { ScaleName, Span } from "./axes.js"
 * @import { Layer, Page, Tiles } from "./data.js"
 * @import { Bar, Palette, Plot } from "./paint.js"
 * @import { Axis } from "./measure.js"
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
  /** @type {Tiles | null} */
  tiles = null;

  /**
   * @param {HTMLElement} place
   * @param {Page} page
   * @param {Layer} layer
   * @param {Layer[]} peers Those that share its scale, itself among them.
   */
  constructor(place, page, layer, peers) {
    this.page = page;
    this.layer = layer;
    this.peers = peers;
    this.place = place;
    this.recorded = Number(place.dataset.explanation) < 0; // only the signal is drawn
    this.kind = layer.domain.kind;
    this.axis = layer.axes[layer.axes.length - 1]; // from left to right
    const [canvas, over] = place.querySelectorAll("canvas");
    this.canvas = canvas;
    this.over = over;
  }

  /** @returns {Plot} */
  get plot() {
    const below = this.recorded || !this.place.dataset.last ? 3 : BELOW;
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
    const span = unit === "s" ? state.time : unit === "Hz" ? state.band : limitAxis(this.layer.ends, this.axis);
    const { x, width } = this.plot;
    return lay(name, span, x, x + width);
  }

  /**
   * @param {State} state
   * @returns {Across}
   */
  layUp(state) {
    const { y, height } = this.plot;
    const axis = this.layer.axes[0];
    if (axis.unit === "Hz") return lay(state.scale, state.band, y + height, y);
    return lay("linear", limitAxis(this.layer.ends, axis), y, y + height);
  }

  /**
   * @param {State} state
   * @param {Palette} palette
   */
  paint(state, palette) {
    const context = prepareCanvas(this.canvas);
    const { plot, layer, peers } = this;
    if (plot.width < 20) return;
    const across = this.layAcross(state);
    if (layer.axes.length > 1) {
      const up = this.layUp(state);
      this.tiles = chooseTiles(layer, up, across);
      paintPlane(context, plot, across.scale, up.scale, this.#preparePlane(), state, palette);
      paintUp(context, plot, up, palette);
    } else if (this.recorded) {
      paintWave(context, plot, across, this.#prepareWave(), palette.wave);
    } else {
      if (this.kind !== "wave" && layer.signal.length) {
        paintLevel(context, plot, across, this.axis.edges, layer.signal, palette.wave);
      }
      const all = peers.map((peer) => listBars(peer, across, plot));
      this.bars = all[peers.indexOf(layer)];
      const { relative } = this.page;
      paintBars(context, plot, this.bars, palette, { ...state, all: all.flat(), relative });
    }
    paintAcross(context, plot, across, palette, this.place.dataset.last ? this.axis.label : "");
  }

  #preparePlane() {
    const { axes, signal, relevance, limit } = this.layer;
    const [rows, columns] = [axes[0].edges, axes[1].edges];
    const level = signal.length ? signal : new Float32Array(relevance.length);
    return { rows, columns, level, relevance, limit, tiles: this.tiles };
  }

  #prepareWave() {
    const count = this.axis.edges.length - 1;
    const [low, high] = [this.layer.signal.subarray(0, count), this.layer.signal.subarray(count)];
    const top = Math.max(...this.peers.map(({ signal }) => signal.reduce((a, v) => Math.max(a, Math.abs(v)), 0)));
    return { edges: this.axis.edges, low, high, top: 1.05 * top || 1 };
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
    const end = limitAxis(this.layer.ends, this.axis).stop;
    if (value > end) return `${at} · behind the end of “${this.page.labels[this.layer.explanation]}”`;
    if (this.layer.axes.length > 1) return this.#describeCell(state, value, at, y);
    const level = this.#describeLevel(findCell(edges, value));
    const bar = this.bars.find((b) => x >= b.left && x < b.right);
    if (!bar) return join(at, level);
    const [left, right] = [bar.left, bar.right].map((p) => across.scale.toValue(p));
    const step = (right - left) / 10;
    const between = `${formatPlace(left, step)} to ${formatPlace(right, step)} ${unit}`;
    return join(between, level, this.#describeAmount(bar.net / this.layer.scale));
  }

  /** @param {number} i */
  #describeLevel(i) {
    const { signal, domain } = this.layer;
    if (!signal.length) return "";
    if (domain.kind !== "wave") return this.#writeLevel(signal[i]);
    return `level ${formatNumber(signal[i])} to ${formatNumber(signal[i + signal.length / 2])}`;
  }

  /** @param {number} level From 0 to 1. */
  #writeLevel(level) {
    const { floor, unit } = this.layer.domain;
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
    const [rows, columns] = this.layer.axes;
    const other = up.scale.toValue(y);
    const i =
      findCell(rows.edges, other) * (columns.edges.length - 1) + findCell(columns.edges, value);
    const level = this.#describeLevel(i);
    if (!this.tiles) {
      const amount = this.#describeAmount(this.layer.relevance[i]);
      return join(at, writePlace(other, rows.unit, up, y), level, amount);
    }
    const { axes, net } = this.tiles;
    const [f, t] = [findCell(axes[0].edges, other), findCell(axes[1].edges, value)];
    const amount = this.#describeAmount(net[f * (axes[1].edges.length - 1) + t]);
    return join(writeUnit(axes[1], t), writeUnit(axes[0], f), level, amount);
  }

  /** @param {number} amount */
  #describeAmount(amount) {
    const { other } = this.place.dataset;
    const { labels, relative, word } = this.page;
    if (other !== undefined) {
      const more = labels[amount < 0 ? Number(other) : this.layer.explanation];
      const size = relative ? formatPercent(Math.abs(amount)) : formatNumber(Math.abs(amount));
      return amount ? `${size} more ${word} “${more}”` : "no difference";
    }
    const sign = amount > 0 ? "for" : amount < 0 ? "against" : "neither for nor against";
    const share = formatPercent(amount / this.layer.sums.net);
    return `relevance ${formatNumber(amount)}, ${sign} (${share} of all)`;
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
    const limits = this.#limitShared(this.axis);
    const across = spanBetween(along.toValue(a[0]), along.toValue(b[0]), limits);
    if (this.axis.unit === "Hz") return { time: null, band: across };
    if (this.kind !== "plane") return { time: across, band: null };
    const up = this.layUp(state).scale;
    const heights = this.#limitShared(this.layer.axes[0]);
    return { time: across, band: spanBetween(up.toValue(a[1]), up.toValue(b[1]), heights) };
  }

  /**
   * Return the ends of an axis that all recordings share.
   * @param {Axis} axis
   */
  #limitShared(axis) {
    return limitAxis([this.page.start, this.page.stop, this.page.rate / 2], axis);
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

/**
 * Return the units of the table; finer bars where there is no table, or few of these are seen.
 * @param {Layer} layer
 * @param {Across} across
 * @param {Plot} plot
 * @returns {Bar[]}
 */
function listBars({ units, axes, running, scale: factor }, across, plot) {
  const { scale, span } = across;
  const seen = units.filter(([start, stop]) => stop > span.start && start < span.stop);
  const bars =
    seen.length < FEW
      ? gatherBars(plot, across, axes[0].edges, running)
      : seen.map(([start, stop, net, favour, against]) => {
          const left = scale.toPixel(Math.max(start, span.start));
          return { left, right: scale.toPixel(stop), net, favour, against };
        });
  return bars.map(({ left, right, net, favour, against }) => {
    return { left, right, net: net * factor, favour: favour * factor, against: against * factor };
  });
}

/**
 * Return the tiles of the lists; null where there are none, or few of them are seen.
 * @param {Layer} layer
 * @param {Across} up
 * @param {Across} across
 */
function chooseTiles({ tiles }, up, across) {
  const isSeen = (/** @type {Axis} */ { edges }, /** @type {Span} */ { start, stop }) =>
    edges.filter((edge, i) => edges[i + 1] > start && edge < stop).length >= FEW;
  return tiles && isSeen(tiles.axes[0], up.span) && isSeen(tiles.axes[1], across.span) ? tiles : null;
}

/**
 * @param {Axis} axis
 * @param {number} i
 */
function writeUnit({ edges, unit }, i) {
  const step = (edges[i + 1] - edges[i]) / 10;
  return `${formatPlace(edges[i], step)} to ${formatPlace(edges[i + 1], step)} ${unit}`;
}

/** @param {string[]} parts Those that are empty are left out. */
function join(...parts) {
  return parts.filter(Boolean).join(" · ");
}
