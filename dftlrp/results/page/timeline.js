/**
 * The page of a long recording: a timeline, and the page of one window of it below.
 *
 * @typedef {object} Line
 * @property {number} start Seconds.
 * @property {number} stop
 * @property {[number, number, string][]} points Time, score and target of each window.
 * @property {number} left Where the time axis starts and stops, as parts of the picture's width.
 * @property {number} right
 * @property {string[]} pages HTML of each explained window but the first.
 */

/** @type {Line} */
const line = JSON.parse(/** @type {HTMLElement} */ (document.getElementById("data")).textContent ?? "");
const picture = /** @type {SVGSVGElement} */ (document.querySelector("#line svg"));
const frame = /** @type {HTMLIFrameElement} */ (document.getElementById("window"));
const readout = /** @type {HTMLElement} */ (document.getElementById("readout"));
const pages = [frame.srcdoc, ...line.pages];
const buttons = [.../** @type {NodeListOf<HTMLButtonElement>} */ (document.querySelectorAll("button[data-window]"))];
const pins = [...document.querySelectorAll("#line [data-window]")];
const grown = new ResizeObserver(fit);

/** Make the frame as high as the page in it. */
function fit() {
  const inside = frame.contentDocument?.body;
  if (inside) frame.style.height = `${Math.ceil(inside.getBoundingClientRect().height)}px`;
}

/** Watch the height of the page that the frame has loaded. */
function watch() {
  grown.disconnect();
  const inside = frame.contentDocument?.body;
  if (inside) grown.observe(inside);
  fit();
}

/**
 * Show an explained window.
 * @param {number} k
 */
function show(k) {
  for (const one of [...buttons, ...pins]) {
    const own = Number(/** @type {HTMLElement | SVGElement} */ (one).dataset.window) === k;
    if (own) one.setAttribute("aria-current", "true");
    else one.removeAttribute("aria-current");
  }
  frame.title = buttons[k].dataset.title ?? "";
  if (pages[k] !== undefined && frame.srcdoc !== pages[k]) frame.srcdoc = pages[k];
  frame.hidden = pages[k] === undefined;
}

/**
 * Return the time at a place of the picture.
 * @param {PointerEvent | MouseEvent} event
 */
function readTime(event) {
  const box = picture.getBoundingClientRect();
  const share = ((event.clientX - box.left) / box.width - line.left) / (line.right - line.left);
  return line.start + share * (line.stop - line.start);
}

/** @param {PointerEvent} event */
function describe(event) {
  const time = readTime(event);
  const near = line.points.reduce((a, b) => (Math.abs(b[0] - time) < Math.abs(a[0] - time) ? b : a));
  const inside = time >= line.start && time <= line.stop;
  readout.textContent = inside
    ? `${near[0].toFixed(2)} s · “${near[2]}” ${Number(near[1].toPrecision(3))}`
    : readout.dataset.hint ?? "";
}

/** Show the explained window that is nearest to where the picture was clicked. */
function choose(/** @type {MouseEvent} */ event) {
  const time = readTime(event);
  const far = buttons.map(({ dataset }) => Math.abs(Number(dataset.at) - time));
  show(far.indexOf(Math.min(...far)));
}

document.documentElement.classList.add("live");
frame.addEventListener("load", watch);
picture.addEventListener("click", choose);
picture.addEventListener("pointermove", describe);
for (const [k, button] of buttons.entries()) button.addEventListener("click", () => show(k));
show(0);
watch();
document.body.dataset.ready = "true";
