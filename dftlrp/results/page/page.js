/**
 * The page: puts player and pictures together, and listens to mouse, touch and keyboard.
 *
 * @import { Differing, Layer } from "./data.js"
 * @import { Mark, State } from "./panes.js"
 * @import { Amount } from "./measure.js"
 * @import { ScaleName, Span } from "./axes.js"
 */
import { formatNumber, formatPercent } from "./axes.js";
import { limitAxis, readChannel, readPage, subtract } from "./data.js";
import { amountBetween, findCells, measureRectangle, snap } from "./measure.js";
import { readPalette } from "./paint.js";
import { Pane } from "./panes.js";
import { Player, Sound } from "./player.js";
import { follow, keepInside, pan, spanBetween, zoom } from "./view.js";

const CLICK = 4; // pixels: a pointer that moves less has clicked
const AUDIO = 3000; // samples per second: from here on frequencies are shown as they are heard
const LEAST_CELLS = 4; // that are seen, at the closest
const page = readPage();
const instrument = find("instrument");
const whole = { time: { start: page.start, stop: page.stop }, band: { start: 0, stop: page.rate / 2 } };

/** @type {State} */
const state = {
  ...whole,
  band: { start: 0, stop: page.highest },
  scale: page.rate >= AUDIO ? "mel" : "linear",
  strength: 1,
  positive: false,
  mark: { time: null, band: null },
};
/** @type {Layer[]} */
let layers = [];
/** @type {Pane[]} */
let panes = [];
/** @type {{time: number | null, band: number | null}} */
let pointed = { time: null, band: null };
let dirty = true;
/** @type {number[]} */
let heard = []; // sounds that are offered

/**
 * @param {string} id
 * @returns {HTMLElement}
 */
function find(id) {
  return /** @type {HTMLElement} */ (document.getElementById(id));
}

/** @param {string} id */
function findInput(id) {
  return /** @type {HTMLInputElement} */ (find(id));
}

// -- sounds

const clips = [...document.querySelectorAll("audio")];
const player = new Player(
  clips.map(({ src, dataset }) => {
    return new Sound(src, Number(dataset.rate), Number(dataset.stretch), whole.time);
  }),
  whole.time,
);

/** Make a button for each sound, in the words of the plain players. */
function listSounds() {
  return clips.map((clip, i) => {
    const input = document.createElement("input");
    Object.assign(input, { type: "radio", name: "sound", checked: i === 0 });
    input.addEventListener("change", () => player.choose(i));
    const key = document.createElement("kbd");
    const label = document.createElement("label");
    label.title = clip.dataset.meaning ?? "";
    label.append(input, key, ` ${clip.getAttribute("aria-label")}`);
    find(clip.dataset.more ? "more-sounds" : "sounds").append(label);
    return label;
  });
}

/**
 * Return the numbers of the sounds of the channel that is shown.
 * @param {number} channel
 */
function listHeard(channel) {
  const owns = (/** @type {HTMLElement} */ clip) =>
    Number(clip.dataset.channel) < 0 || Number(clip.dataset.channel) === channel;
  return clips.flatMap((clip, i) => (owns(clip) ? [i] : []));
}

/**
 * Offer the sounds of a channel; go on with the one that is like the one before.
 * @param {number} channel
 */
function offerSounds(channel) {
  const place = Math.max(heard.indexOf(player.chosen), 0);
  heard = listHeard(channel);
  choices.forEach((label, i) => {
    const at = heard.indexOf(i);
    label.hidden = at < 0;
    /** @type {HTMLElement} */ (label.querySelector("kbd")).textContent = at < 9 ? `${at + 1}` : "";
  });
  if (heard.length) player.choose(heard[place] ?? heard[0]);
}

function showPlayer() {
  find("play").textContent = player.playing ? "❚❚ Pause" : "▶ Play";
  findInput("loop").checked = player.loops;
  findInput("equal").checked = player.equal;
  const radio = choices[player.chosen]?.querySelector("input");
  if (radio) radio.checked = true;
  for (const id of ["meaning", "told"]) find(id).textContent = clips[player.chosen]?.dataset[id] ?? "";
}

function showPosition() {
  const [at, palette] = [player.position, readPalette(instrument)];
  for (const pane of panes) pane.paintOver(state, palette, at, pointed);
  findInput("position").value = String(at);
  find("clock").textContent = `${at.toFixed(2)} of ${page.stop.toFixed(2)} s`;
}

// -- pictures

/** Draw everything anew, once, before the screen does. */
function repaint() {
  dirty = true;
  requestAnimationFrame(() => {
    if (!dirty) return;
    dirty = false;
    const palette = readPalette(instrument);
    for (const pane of panes) pane.paint(state, palette);
    showPosition();
    showView();
  });
}

function showView() {
  const wholes = [whole.time, whole.band];
  const all = [state.time, state.band].every(
    ({ start, stop }, k) => start === wholes[k].start && stop === wholes[k].stop,
  );
  for (const id of ["zoom-out", "zoom-whole"]) findInput(id).disabled = all;
}

/** @param {number} channel */
async function showChannel(channel) {
  offerSounds(channel);
  layers = await readChannel(page, channel);
  const places = /** @type {HTMLElement[]} */ ([...document.querySelectorAll(".pane")]);
  const shown = places.map(findLayer);
  panes = places.map((place, i) => {
    const isLike = (/** @type {number} */ k) =>
      shown[k].domain.name === shown[i].domain.name &&
      ("other" in places[k].dataset) === ("other" in place.dataset);
    return new Pane(place, page, shown[i], shown.filter((_, k) => isLike(k)));
  });
  repaint();
}

/**
 * Return what a pane shows: a layer, or the difference of two.
 * @param {HTMLElement} place
 */
function findLayer({ dataset }) {
  const { name, owners } = page.domains[Number(dataset.domain)];
  const find = (/** @type {number} */ k) =>
    /** @type {Layer} */ (layers.find((one) => one.domain.name === name && one.explanation === k));
  const first = find(Math.max(Number(dataset.explanation), owners[0]));
  if (dataset.other === undefined) return first;
  const how = page.differences.find(
    (one) => one.domain === Number(dataset.domain) && one.other === Number(dataset.other),
  );
  return subtract(page, first, find(Number(dataset.other)), /** @type {Differing} */ (how));
}

// -- zoom

/** @param {"time" | "band"} which */
function findLeast(which) {
  const unit = which === "time" ? "s" : "Hz";
  const sizes = layers.flatMap(({ axes }) =>
    axes.filter((a) => a.unit === unit).map((a) => a.edges[1] - a.edges[0]),
  );
  return LEAST_CELLS * Math.max(...sizes, 0);
}

/**
 * @param {"time" | "band"} which
 * @param {number} factor
 * @param {number} [centre]
 */
function zoomBy(which, factor, centre) {
  const span = state[which];
  const middle = centre ?? (span.start + span.stop) / 2;
  state[which] = zoom(span, whole[which], factor, middle, findLeast(which));
  repaint();
}

function zoomToMark() {
  lookAt(
    keepInside(state.mark.time ?? whole.time, whole.time, findLeast("time")),
    keepInside(state.mark.band ?? whole.band, whole.band, findLeast("band")),
  );
}

function zoomOut() {
  lookAt(whole.time, whole.band);
}

/**
 * @param {Span} time
 * @param {Span} [band]
 */
function lookAt(time, band = state.band) {
  Object.assign(state, { time, band });
  repaint();
}

/**
 * Show the difference instead of the explanations, if there is one.
 * @param {boolean} shown
 */
function showDifference(shown) {
  const box = /** @type {HTMLInputElement | null} */ (document.getElementById("difference"));
  if (!box) return;
  box.checked = shown;
  document.body.classList.toggle("differing", shown);
  repaint();
}

// -- the marked part

/**
 * Return the layers that measure a mark, one for each explanation, as `Explanation.share` chooses.
 * @param {Mark} mark
 */
function chooseLayers({ time, band }) {
  const kind = time && band ? "plane" : time ? "wave" : "spectrum";
  const first = layers.find((one) => one.domain.kind === kind);
  const found = layers.filter((one) => one.domain.name === first?.domain.name);
  return found.sort((a, b) => a.explanation - b.explanation);
}

/** @param {Mark} mark */
function setMark(mark) {
  const ends = (/** @type {Layer} */ { axes }) => axes.map(({ edges }) => edges[edges.length - 1]);
  const reach = (/** @type {Layer} */ one) => ends(one).reduce((a, b) => a * b);
  const [one] = chooseLayers(mark).sort((a, b) => reach(b) - reach(a));
  const [first, last] = one ? [one.axes[0], one.axes[one.axes.length - 1]] : [];
  const time = mark.time && (last ? snap(last.edges, mark.time, whole.time) : mark.time);
  const band = mark.band && (first ? snap(first.edges, mark.band, whole.band) : mark.band);
  state.mark = { time, band };
  player.setPart(state.mark);
  showMark();
}

/**
 * Return what a mark holds of one explanation.
 * @param {Layer} one
 * @returns {Amount}
 */
function measureMark({ axes, ends, running, relevance }) {
  const spans = [state.mark.band, state.mark.time].filter((s) => s !== null);
  const cells = axes.map((axis, k) => findCells(axis.edges, spans[k], limitAxis(ends, axis)));
  if (cells.length === 1) return amountBetween(running, ...cells[0]);
  return measureRectangle(relevance, axes[1].edges.length - 1, cells[0], cells[1]);
}

function showMark() {
  const { time, band } = state.mark;
  const any = time ?? band;
  find("marked").hidden = !any;
  find("unmarked").hidden = Boolean(any);
  const fields = { start: time?.start, stop: time?.stop, low: band?.start, high: band?.stop };
  for (const [id, value] of Object.entries(fields)) {
    findInput(`mark-${id}`).value = value === undefined ? "" : String(Number(value.toPrecision(9)));
  }
  const found = any ? chooseLayers(state.mark) : [];
  const nets = found.map((one) => measureMark(one).net * one.scale);
  find("held").replaceChildren(
    ...found.map(describeHeld),
    ...nets.slice(1).map((net, k) => describeMore(nets[0] - net, k + 1)),
  );
  repaint();
}

/** @param {Layer} one */
function describeHeld(one) {
  const { net, favour, against } = measureMark(one);
  const all = one.sums;
  const line = document.createElement("p");
  const name = document.createElement("bdi");
  name.textContent = page.labels[one.explanation];
  const several = page.labels.length > 1;
  const share = document.createElement("strong");
  share.textContent = formatPercent(favour / all.favour);
  line.append(
    ...(several ? ["“", name, "”: the part holds ", share, " of what speaks for it"] : ["The part holds ", share, " of what speaks for “", name, "”"]),
    ` and ${formatPercent(against / all.against)} of what speaks against it: together `,
    `${formatNumber(net)} of ${formatNumber(all.net)} (${formatPercent(net / all.net)}).`,
  );
  line.dataset.share = String(net / all.net);
  return line;
}

/**
 * Say which of two explanations has more in the marked part.
 * @param {number} difference The first minus another, as they are compared.
 * @param {number} other
 */
function describeMore(difference, other) {
  const line = document.createElement("p");
  const [more, less] = [0, other].map((k) => {
    const name = document.createElement("bdi");
    name.textContent = page.labels[k];
    return name;
  });
  const size = page.relative ? formatPercent(Math.abs(difference)) : formatNumber(Math.abs(difference));
  const pair = difference < 0 ? [less, more] : [more, less];
  line.append(`Difference: ${size} more ${page.word} “`, pair[0], `” than ${page.word} “`, pair[1], "”.");
  line.dataset.difference = String(difference);
  return line;
}

/**
 * Mark what is written in the fields; an empty one stands for the end of its axis, as does one that
 * what was written last has gone past.
 * @param {Event} event
 */
function readMark({ target }) {
  /**
   * @param {string} from
   * @param {string} to
   * @param {Span} limits
   */
  const read = (from, to, limits) => {
    const [a, b] = [findInput(`mark-${from}`), findInput(`mark-${to}`)];
    if (a.value && b.value && a.valueAsNumber >= b.valueAsNumber) (target === a ? b : a).value = "";
    if (!a.value && !b.value) return null;
    const [start, stop] = [a.value ? a.valueAsNumber : limits.start, b.value ? b.valueAsNumber : limits.stop];
    return spanBetween(start, stop, limits);
  };
  setMark({ time: read("start", "stop", whole.time), band: read("low", "high", whole.band) });
}

/**
 * Mark a part of the list of what differs, and show it.
 * @param {HTMLElement} part
 */
function markListed({ dataset }) {
  const { start, stop, low, high } = dataset;
  setMark({
    time: stop ? { start: Number(start), stop: Number(stop) } : null,
    band: high ? { start: Number(low), stop: Number(high) } : null,
  });
  find("panes").scrollIntoView({ block: "nearest" });
  instrument.focus({ preventScroll: true }); // so that Space plays it
}

// -- pointer

/**
 * @param {Pane} pane
 * @param {PointerEvent | WheelEvent} event
 * @returns {[number, number]}
 */
function findPoint(pane, event) {
  const box = pane.canvas.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}

/**
 * @param {Pane} pane
 * @param {[number, number] | null} point
 */
function pointAt(pane, point) {
  const { unit } = pane.axis;
  const time = point && unit === "s" ? pane.layAcross(state).scale.toValue(point[0]) : null;
  const across = point && unit === "Hz" ? pane.layAcross(state).scale.toValue(point[0]) : null;
  const band = point && pane.kind === "plane" ? pane.layUp(state).scale.toValue(point[1]) : across;
  pointed = { time, band };
  find("readout").textContent = point ? pane.describe(state, ...point) : find("readout").dataset.hint ?? "";
  showPosition();
}

/** @param {HTMLElement} place */
function listenToPointer(place) {
  /** @type {[number, number] | null} */
  let from = null;
  const own = () => /** @type {Pane} */ (panes.find((pane) => pane.place === place));
  place.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !panes.length) return;
    from = findPoint(own(), event);
    place.setPointerCapture(event.pointerId);
  });
  place.addEventListener("pointermove", (event) => {
    if (!panes.length) return;
    const point = findPoint(own(), event);
    if (from && own().axis.unit && Math.hypot(point[0] - from[0], point[1] - from[1]) >= CLICK) {
      state.mark = own().markBetween(state, from, point);
    }
    pointAt(own(), point);
  });
  place.addEventListener("pointerup", (event) => {
    if (!from) return;
    const [start, stop] = [from, findPoint(own(), event)];
    from = null;
    const moved = Math.hypot(stop[0] - start[0], stop[1] - start[1]) >= CLICK;
    if (moved && own().axis.unit) {
      setMark(own().markBetween(state, start, stop));
    } else if (own().axis.unit === "s") {
      const at = own().layAcross(state).scale.toValue(start[0]);
      if (state.mark.time || state.mark.band) setMark({ time: null, band: null });
      player.seek(at);
    }
  });
  place.addEventListener("pointercancel", () => {
    from = null;
    showMark();
  });
  place.addEventListener("pointerleave", () => panes.length && pointAt(own(), null));
  place.addEventListener(
    "wheel",
    (event) => {
      if (!event.ctrlKey && !event.altKey) return;
      event.preventDefault();
      const which = own().axis.unit === "Hz" || event.altKey ? "band" : "time";
      const factor = Math.exp(Math.max(-0.5, Math.min(0.5, event.deltaY / 300)));
      const [x, y] = findPoint(own(), event);
      const up = which === "band" && own().kind === "plane";
      zoomBy(which, factor, up ? own().layUp(state).scale.toValue(y) : own().layAcross(state).scale.toValue(x));
    },
    { passive: false },
  );
}

// -- keyboard

/** @param {number} by Parts of what is seen. */
function step(by) {
  player.seek(player.position + by * (state.time.stop - state.time.start));
}

/** @param {"start" | "stop"} end */
function markHere(end) {
  const at = player.position;
  const other = state.mark.time ?? whole.time;
  const [a, b] = end === "start" ? [at, other.stop] : [other.start, at];
  setMark({ time: spanBetween(a, b, whole.time), band: state.mark.band });
}

/** @type {Record<string, () => unknown>} */
const KEYS = {
  " ": () => player.toggle(),
  a: () => player.swap(),
  l: () => player.setLoop(!player.loops),
  e: () => player.setEqual(!player.equal),
  ArrowLeft: () => step(-0.02),
  ArrowRight: () => step(0.02),
  Home: () => player.seek(page.start),
  "[": () => markHere("start"),
  "]": () => markHere("stop"),
  Escape: () => setMark({ time: null, band: null }),
  "+": () => zoomBy("time", 0.5, player.position),
  "=": () => zoomBy("time", 0.5, player.position),
  "-": () => zoomBy("time", 2, player.position),
  0: zoomOut,
  z: zoomToMark,
  d: () => showDifference(!document.body.classList.contains("differing")),
  ",": () => lookAt(pan(state.time, whole.time, -0.5)),
  ".": () => lookAt(pan(state.time, whole.time, 0.5)),
};

/**
 * Return whether a key belongs to what has the focus: text to a field, space to a button.
 * @param {EventTarget | null} target
 * @param {string} key
 */
function isTaken(target, key) {
  if (!(target instanceof HTMLElement) || target === document.body) return false;
  if (!instrument.contains(target)) return true;
  if (target instanceof HTMLSelectElement) return true;
  if (target instanceof HTMLInputElement) {
    const pressed = target.type === "checkbox" || target.type === "radio";
    const moved = target.type !== "checkbox" && (key.startsWith("Arrow") || key === "Home");
    const typed = target.type === "number" && key !== "Escape" && key !== " ";
    return moved || (pressed ? target.type === "checkbox" && key === " " : typed);
  }
  return key === " " && ["BUTTON", "SUMMARY"].includes(target.tagName);
}

/** @param {KeyboardEvent} event */
function press(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || isTaken(event.target, event.key)) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const sound = /^[1-9]$/.test(key) ? heard[Number(key) - 1] : undefined;
  const act = sound === undefined ? KEYS[key] : () => player.choose(sound);
  if (!act) return;
  event.preventDefault();
  act();
}

// -- start

/** @type {Record<string, () => unknown>} */
const BUTTONS = {
  play: () => player.toggle(),
  swap: () => player.swap(),
  "zoom-in": () => zoomBy("time", 0.5, player.position),
  "zoom-out": () => zoomBy("time", 2, player.position),
  "zoom-whole": zoomOut,
  "zoom-mark": zoomToMark,
  "clear-mark": () => setMark({ time: null, band: null }),
};

function listen() {
  for (const [id, act] of Object.entries(BUTTONS)) find(id).addEventListener("click", act);
  find("loop").addEventListener("change", () => player.setLoop(findInput("loop").checked));
  find("equal").addEventListener("change", () => player.setEqual(findInput("equal").checked));
  find("position").addEventListener("input", () => player.seek(findInput("position").valueAsNumber));
  for (const id of ["start", "stop", "low", "high"]) find(`mark-${id}`).addEventListener("change", readMark);
  find("strength").addEventListener("input", () => {
    const amount = findInput("strength").valueAsNumber;
    state.strength = amount ? 4 ** (amount / 50 - 1) : 0;
    repaint();
  });
  find("positive").addEventListener("change", () => {
    state.positive = findInput("positive").checked;
    repaint();
  });
  find("scale").addEventListener("change", () => {
    state.scale = /** @type {ScaleName} */ (findInput("scale").value);
    repaint();
  });
  document.getElementById("channel")?.addEventListener("change", () => showChannel(Number(findInput("channel").value)));
  const box = document.getElementById("difference");
  box?.addEventListener("change", () => showDifference(/** @type {HTMLInputElement} */ (box).checked));
  for (const part of document.querySelectorAll("button.part")) {
    part.addEventListener("click", () => markListed(/** @type {HTMLElement} */ (part)));
  }
  document.addEventListener("keydown", press);
  player.addEventListener("change", () => {
    showPlayer();
    run();
  });
  for (const place of document.querySelectorAll(".pane")) listenToPointer(/** @type {HTMLElement} */ (place));
  new ResizeObserver(repaint).observe(find("panes"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
}

let frame = 0;

/** Move the cursor while a sound is played. */
function run() {
  cancelAnimationFrame(frame);
  const seen = follow(state.time, whole.time, player.position);
  if (seen !== state.time && player.playing) lookAt(seen);
  showPosition();
  if (player.playing) frame = requestAnimationFrame(run);
}

instrument.hidden = false;
document.documentElement.classList.add("live");
const choices = listSounds();
findInput("scale").value = state.scale;
listen();
showPlayer();
showMark();
await showChannel(0);
instrument.dataset.ready = "true";

/** In a frame of another page: say how tall this one is, so that the frame can be. */
if (window.parent !== window) {
  const root = document.documentElement;
  new ResizeObserver(() => window.parent.postMessage({ dftlrp: root.offsetHeight }, "*")).observe(root);
}
