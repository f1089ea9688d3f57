/**
 * The page of neurons: a gallery of small pictures that play, and what opens below them.
 *
 * @import { Packed } from "./decode.js"
 * @import { Across, Palette, Plane, Plot } from "./paint.js"
 * @import { ScaleName } from "./axes.js"
 * @import { Order, Seen, Strip } from "./choice.js"
 */
import { findLowest, formatNumber, formatPercent, formatPlace, makeScale } from "./axes.js";
import { choose, move } from "./choice.js";
import { decodeArray } from "./decode.js";
import { findCell } from "./measure.js";
import { paintAcross, paintPlane, paintUp, prepareCanvas, readPalette } from "./paint.js";
import { Player, Sound } from "./player.js";

/**
 * @typedef {object} Edges They lie `step` apart; the last cell may be smaller.
 * @property {number} count Of the cells.
 * @property {number} start
 * @property {number} step
 * @property {number} end
 *
 * @typedef {object} PackedPlane
 * @property {Edges} rows Hertz.
 * @property {Edges} columns
 * @property {string} label Of the axis from left to right.
 * @property {Packed} level
 * @property {Packed} relevance
 * @property {number} limit
 * @property {number} whole The sum of the relevance, of a recording.
 * @property {number} from Where its sounds begin, in seconds.
 * @property {number} seconds How long they are.
 *
 * @typedef {object} Gallery
 * @property {number} rate
 * @property {number} stretch Seconds of the recording in one that is heard.
 * @property {number} floor Level of what is white, in dB.
 * @property {PackedPlane[]} planes
 */

const AUDIBLE = 3000; // samples per second: from here on frequencies are shown as they are heard
const MARGIN = { left: 52, right: 6, below: 24 };
const BUDGET = 12; // milliseconds of drawing between two frames
const KINDS = 2; // sounds of a recording: itself, and what the neuron reads

/** @type {Gallery} */
const gallery = JSON.parse(locate("data").textContent ?? "");
const band = { start: 0, stop: gallery.rate / 2 };
const look = { strength: 1, positive: false, scale: /** @type {ScaleName} */ ("mel") };

/**
 * @param {string} id
 * @returns {HTMLElement}
 */
function locate(id) {
  return /** @type {HTMLElement} */ (document.getElementById(id));
}

/** @param {string} id */
function locateInput(id) {
  return /** @type {HTMLInputElement} */ (locate(id));
}

/**
 * @param {ParentNode} parent
 * @param {string} selector
 */
function list(parent, selector) {
  return /** @type {HTMLElement[]} */ ([...parent.querySelectorAll(selector)]);
}

// -- pictures: each is decoded when it is first looked at

/** @type {Map<number, Promise<Plane>>} */
const decoded = new Map();

/** @param {Edges} edges */
function listEdges({ count, start, step, end }) {
  return Float64Array.from({ length: count + 1 }, (_, i) => (i < count ? start + i * step : end));
}

/** @param {number} index */
async function decodePlane(index) {
  const { rows, columns, level, relevance, limit } = gallery.planes[index];
  const [levels, amounts] = await Promise.all([decodeArray(level), decodeArray(relevance)]);
  return {
    rows: listEdges(rows),
    columns: listEdges(columns),
    level: levels.values,
    relevance: amounts.values,
    limit,
  };
}

/** @param {number} index */
function readPlane(index) {
  const known = decoded.get(index) ?? decodePlane(index);
  decoded.set(index, known);
  return known;
}

class Picture {
  /** @type {Plane | null} */
  plane = null;
  stale = true;

  /** @param {HTMLElement} place */
  constructor(place) {
    this.place = place;
    this.index = Number(place.dataset.plane);
    this.packed = gallery.planes[this.index];
    this.small = place.classList.contains("small");
    this.canvas = document.createElement("canvas");
    this.cursor = document.createElement("i");
    this.cursor.className = "cursor";
    this.cursor.hidden = true;
    place.append(this.canvas, this.cursor);
  }

  /** @returns {Plot} */
  get plot() {
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight];
    if (this.small) return { x: 0, y: 0, width, height };
    const { left, right, below } = MARGIN;
    return { x: left, y: 2, width: width - left - right, height: height - below - 2 };
  }

  /** @returns {{across: Across, up: Across}} */
  lay() {
    const { x, y, width, height } = this.plot;
    const { columns } = this.packed;
    const time = { start: Math.max(columns.start, 0), stop: columns.end };
    const seen = { start: findLowest(look.scale, band), stop: band.stop };
    return {
      across: { name: "linear", span: time, scale: makeScale("linear", time, x, x + width) },
      up: { name: look.scale, span: seen, scale: makeScale(look.scale, seen, y + height, y) },
    };
  }

  /** @param {Palette} palette */
  async paint(palette) {
    this.plane ??= await readPlane(this.index);
    const { plot } = this;
    if (plot.width < 4) return;
    this.stale = false;
    const context = prepareCanvas(this.canvas);
    const { across, up } = this.lay();
    paintPlane(context, plot, across.scale, up.scale, this.plane, look, palette);
    if (this.small) return;
    paintUp(context, plot, up, palette);
    paintAcross(context, plot, across, palette, this.packed.label);
  }

  /** @param {number | null} seconds In the recording; null: nowhere. */
  showCursor(seconds) {
    this.cursor.hidden = seconds === null;
    if (seconds === null) return;
    const { x, y, width, height } = this.plot;
    const at = Math.min(Math.max(this.lay().across.scale.toPixel(seconds), x), x + width - 2);
    Object.assign(this.cursor.style, { left: `${at}px`, top: `${y}px`, height: `${height}px` });
  }

  /**
   * Say what lies under a point.
   * @param {number} x
   * @param {number} y
   */
  describe(x, y) {
    const { plot, plane } = this;
    const inside = x >= plot.x && x <= plot.x + plot.width && y >= plot.y && y <= plot.y + plot.height;
    if (!plane || !inside) return "";
    const { across, up } = this.lay();
    const [time, hertz] = [across.scale.toValue(x), up.scale.toValue(y)];
    const i = findCell(plane.rows, hertz) * (plane.columns.length - 1) + findCell(plane.columns, time);
    const step = Math.abs(up.scale.toValue(y + 1) - hertz);
    const at = `${formatPlace(time, 0.01)} s · ${formatPlace(hertz, step)} Hz`;
    const level = formatNumber(gallery.floor * (1 - plane.level[i]), 2);
    const share = formatPercent(plane.relevance[i] / this.packed.whole);
    return `${at} · ${level} dB · ${share} of what reaches the recording`;
  }
}

const pictures = list(document, ".picture").map((place) => new Picture(place));
/** @type {Map<Element, Picture>} */
const byPlace = new Map(pictures.map((picture) => [picture.place, picture]));
/** @type {Set<Picture>} */
const inSight = new Set();
let painting = false;

/** Draw what is in sight and not as it should be, a few pictures between two frames. */
async function paintInSight() {
  if (painting) return;
  painting = true;
  const palette = readPalette(document.body);
  let began = performance.now();
  for (const picture of inSight) {
    if (!picture.stale) continue;
    await picture.paint(palette);
    if (performance.now() - began < BUDGET) continue;
    await new Promise(requestAnimationFrame);
    began = performance.now();
  }
  painting = false;
  if ([...inSight].some((picture) => picture.stale && picture.canvas.clientWidth)) paintInSight();
}

function repaintAll() {
  for (const picture of pictures) picture.stale = true;
  paintInSight();
}

const sight = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      const picture = /** @type {Picture} */ (byPlace.get(target));
      if (isIntersecting) inSight.add(picture);
      else inSight.delete(picture);
    }
    paintInSight();
  },
  { rootMargin: "200px" },
);

// -- sound: one player, and one choice between the recording and what the neuron reads

const player = new Player([], { start: 0, stop: 1 });
/** @type {number | null} */
let playing = null; // a plane
/** @type {Picture[]} */
let followed = []; // which show it
let kind = 1;
let frame = 0;

/**
 * Prepare the sounds of a recording.  Where scripts run, its plain players are text: hundreds of
 * them would keep the page from opening.
 * @param {number} index
 */
function prepareSounds(index) {
  const plain = document.querySelector(`.prototype[data-plane="${index}"] noscript`)?.textContent ?? "";
  [...plain.matchAll(/ src="(data:audio[^"]*)" data-rate="([^"]*)"/g)].forEach(([, uri, rate], k) => {
    const whole = { start: 0, stop: gallery.planes[index].seconds };
    player.sounds[KINDS * index + k] ??= new Sound(uri, Number(rate), gallery.stretch, whole);
  });
}

/**
 * Play a recording from where it is, or from a place in it; or pause it.
 * @param {number} index
 * @param {number} [seconds]
 */
async function play(index, seconds) {
  if (playing === index && player.playing && seconds === undefined) {
    player.pause();
    return;
  }
  const { from, seconds: long } = gallery.planes[index];
  if (playing !== index) {
    player.pause();
    prepareSounds(index);
    if (!player.sounds[KINDS * index + kind]) return;
    for (const picture of followed) picture.showCursor(null);
    followed = pictures.filter((picture) => picture.index === index);
    playing = index;
    player.whole = { start: 0, stop: long };
    await player.seek(0);
    await player.choose(KINDS * index + kind);
  }
  if (seconds !== undefined) await player.seek(Math.min(Math.max(seconds - from, 0), 0.98 * long));
  await player.play();
}

/** @param {number} which */
function chooseKind(which) {
  kind = which;
  locateInput(`kind-${which}`).checked = true;
  if (playing !== null) player.choose(KINDS * playing + which);
  showBar();
}

function showBar() {
  const on = player.playing;
  locate("play").textContent = on ? "❚❚ Pause" : "▶ Play";
  locateInput("play").disabled = playing === null;
  locateInput("position").disabled = playing === null;
  for (const button of list(document, "button.hear")) {
    const own = Number(button.dataset.plane) === playing && on;
    button.textContent = own ? "❚❚" : "▶";
    button.setAttribute("aria-pressed", String(own));
  }
  const place = playing === null ? null : document.querySelector(`.prototype[data-plane="${playing}"]`);
  locate("now").textContent = place ? `Neuron ${place.getAttribute("data-neuron")}, ${place.getAttribute("data-name")}` : "";
  showPlace();
}

function showPlace() {
  const at = player.position;
  const from = playing === null ? 0 : gallery.planes[playing].from;
  const moved = player.playing || at > 0;
  for (const picture of followed) picture.showCursor(moved ? from + at : null);
  const position = locateInput("position");
  position.max = String(player.whole.stop);
  position.value = String(at);
  const long = playing === null ? "" : ` of ${player.whole.stop.toFixed(2)} s`;
  locate("clock").textContent = playing === null ? "" : `${at.toFixed(2)}${long}`;
}

function followSound() {
  cancelAnimationFrame(frame);
  showPlace();
  if (player.playing) frame = requestAnimationFrame(followSound);
}

// -- the gallery: which neurons, in which order

const places = list(document, ".strip").map((strip) => ({ strip, cells: list(strip, ".cell") }));
/** @type {Strip[]} */
const strips = places.map(({ strip, cells }) => ({
  label: strip.dataset.label ?? "",
  peak: Number(strip.dataset.peak),
  cells: cells.map(({ dataset }) => ({
    neuron: Number(dataset.neuron),
    relevance: Number(dataset.relevance),
    activation: Number(dataset.activation),
    words: dataset.words ?? "",
  })),
}));
/** @type {Seen[]} */
let seen = [];

/** Show the neurons that are asked for. */
function showChosen() {
  const only = locateInput("only").value;
  seen = choose(strips, {
    only: only ? Number(only) : null,
    text: locateInput("find").value,
    order: /** @type {Order} */ (locateInput("order").value),
  });
  close(false);
  for (const { strip } of places) strip.hidden = true;
  for (const { strip: i, cells } of seen) {
    const { strip, cells: all } = places[i];
    strip.hidden = false;
    for (const cell of all) cell.hidden = true;
    const row = strip.querySelector(".cells");
    for (const k of cells) {
      all[k].hidden = false;
      row?.append(all[k]);
    }
    locate("strips").append(strip);
  }
  const count = seen.reduce((sum, { cells }) => sum + cells.length, 0);
  const all = strips.reduce((sum, { cells }) => sum + cells.length, 0);
  locate("count").textContent = count === all ? `${all} neurons` : `${count} of ${all} neurons`;
  const inside = document.activeElement?.closest(".cell");
  putFocus(inside instanceof HTMLElement && !inside.hidden ? inside : listShown()[0]?.[0], false);
}

function listShown() {
  return seen.map(({ strip, cells }) => cells.map((k) => places[strip].cells[k]));
}

/**
 * Let one picture be reached by the tabulator key; arrows lead to the others.
 * @param {HTMLElement | undefined} cell
 * @param {boolean} now Whether it is reached at once.
 */
function putFocus(cell, now) {
  for (const link of list(document, ".cell > a")) link.tabIndex = -1;
  const link = cell?.querySelector("a");
  if (!link) return;
  link.tabIndex = 0;
  if (now) link.focus();
}

/** @param {KeyboardEvent} event */
function pressInGallery(event) {
  const cell = event.target instanceof HTMLElement ? event.target.closest(".cell") : null;
  if (!(cell instanceof HTMLElement) || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === " " && event.target instanceof HTMLAnchorElement) {
    event.preventDefault();
    play(Number(cell.dataset.plane));
    return;
  }
  const rows = listShown();
  const row = rows.findIndex((cells) => cells.includes(cell));
  const [r, c] = move(rows.map((cells) => cells.length), [row, rows[row].indexOf(cell)], event.key);
  if (!/^(Arrow|Home|End)/.test(event.key)) return;
  event.preventDefault();
  putFocus(rows[r][c], true);
}

// -- what is open, below its class

/** @type {{card: HTMLElement, stand: Comment, link: HTMLElement | null} | null} */
let opened = null;

/**
 * Put the card that is open back to the others.
 * @param {boolean} [back] Whether the focus goes back to where it was opened.
 */
function close(back = true) {
  if (!opened) return;
  const { card, stand, link } = opened;
  opened = null;
  for (const one of list(document, "[aria-expanded=true]")) one.setAttribute("aria-expanded", "false");
  card.classList.remove("open");
  stand.replaceWith(card);
  if (back && link && !link.closest("[hidden]")) link.focus({ preventScroll: true });
}

/**
 * Open the card of a class or a neuron below the class in which it was asked for.
 * @param {HTMLElement} card
 * @param {HTMLElement | null} asked The link.
 */
function open(card, asked) {
  const same = opened?.card === card && opened.link === asked;
  close();
  if (same) return;
  const links = list(document, `#strips a[href="#${CSS.escape(card.id)}"]`);
  const link = asked ?? links.find((one) => !one.closest("[hidden]")) ?? null;
  const stand = document.createComment("");
  card.before(stand);
  (link?.closest(".strip") ?? locate("strips")).after(card);
  card.classList.add("open");
  opened = { card, stand, link };
  link?.setAttribute("aria-expanded", "true");
  if (link?.closest(".cell")) putFocus(/** @type {HTMLElement} */ (link.closest(".cell")), false);
  card.focus({ preventScroll: true });
  card.scrollIntoView({ block: "nearest" });
}

/** Open what the address names. */
function openNamed() {
  const card = document.getElementById(location.hash.slice(1));
  if (card?.classList.contains("card") && opened?.card !== card) open(card, null);
}

/** @param {MouseEvent} event */
function click(event) {
  const target = /** @type {Element} */ (event.target);
  const button = target.closest("button.hear");
  if (button instanceof HTMLElement) play(Number(button.dataset.plane));
  if (target.closest("button.close")) close();
  const link = target.closest("a[href^='#']");
  if (!(link instanceof HTMLElement) || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const card = document.getElementById(link.getAttribute("href")?.slice(1) ?? "");
  if (!card?.classList.contains("card")) return;
  event.preventDefault();
  open(card, link.closest(".strip") ? link : null);
}

// -- pointer

/** @param {PointerEvent} event */
function point(event) {
  const place = /** @type {Element} */ (event.target).closest(".picture");
  const readout = opened?.card.querySelector(".readout");
  if (!readout) return;
  const picture = place && opened?.card.contains(place) ? byPlace.get(place) : undefined;
  const box = picture?.canvas.getBoundingClientRect();
  readout.textContent = picture && box && picture.packed.whole
    ? picture.describe(event.clientX - box.left, event.clientY - box.top)
    : "";
}

/** @param {MouseEvent} event */
function seekByClick(event) {
  const place = /** @type {Element} */ (event.target).closest(".prototype .picture");
  const picture = place && byPlace.get(place);
  if (!picture) return;
  const x = event.clientX - picture.canvas.getBoundingClientRect().left;
  play(picture.index, picture.lay().across.scale.toValue(x));
}

/** @param {PointerEvent} event */
function hover(event) {
  if (event.pointerType === "touch" || !locateInput("hover").checked) return;
  const cell = /** @type {Element} */ (event.target).closest(".cell");
  const index = cell instanceof HTMLElement ? Number(cell.dataset.plane) : NaN;
  if (Number.isNaN(index) || (index === playing && player.playing)) return;
  play(index, gallery.planes[index].from);
}

/** @param {KeyboardEvent} event */
function pressAnywhere(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target instanceof HTMLInputElement && event.target.type === "search";
  if (event.key === "Escape") close();
  else if (typing || event.target instanceof HTMLSelectElement) return;
  else if (event.key === "/") locate("find").focus();
  else if (event.key.toLowerCase() === "a") chooseKind(1 - kind);
  else if (event.key.toLowerCase() === "e") player.setEqual(!player.equal);
  else return;
  event.preventDefault();
}

// -- start

function listen() {
  for (const id of ["only", "order"]) locate(id).addEventListener("change", showChosen);
  locate("find").addEventListener("input", showChosen);
  locate("strength").addEventListener("input", () => {
    const amount = locateInput("strength").valueAsNumber;
    look.strength = amount ? 4 ** (amount / 50 - 1) : 0;
    repaintAll();
  });
  locate("scale").addEventListener("change", () => {
    look.scale = /** @type {ScaleName} */ (locateInput("scale").value);
    repaintAll();
  });
  for (const which of [0, 1]) locate(`kind-${which}`).addEventListener("change", () => chooseKind(which));
  locate("equal").addEventListener("change", () => player.setEqual(locateInput("equal").checked));
  locate("play").addEventListener("click", () => playing !== null && play(playing));
  locate("position").addEventListener("input", () => player.seek(locateInput("position").valueAsNumber));
  locate("strips").addEventListener("keydown", pressInGallery);
  locate("strips").addEventListener("pointerover", hover);
  locate("strips").addEventListener("pointermove", point);
  locate("strips").addEventListener("click", seekByClick);
  document.addEventListener("click", click);
  document.addEventListener("keydown", pressAnywhere);
  player.addEventListener("change", () => {
    locateInput("equal").checked = player.equal;
    showBar();
    followSound();
  });
  let wide = 0;
  new ResizeObserver(() => {
    if (locate("strips").clientWidth !== wide) repaintAll();
    wide = locate("strips").clientWidth;
  }).observe(locate("strips"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaintAll);
  window.addEventListener("hashchange", openNamed);
}

look.scale = gallery.rate >= AUDIBLE ? "mel" : "linear";
locateInput("scale").value = look.scale;
document.documentElement.classList.add("live");
listen();
chooseKind(kind);
showChosen();
for (const { place } of pictures) sight.observe(place);
openNamed();
locate("strips").dataset.ready = "true";
