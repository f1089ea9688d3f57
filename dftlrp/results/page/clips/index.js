/**
 * The page of several explanations: sorts and filters the rows of its table.
 *
 * Everything stands in the table; without this script it is a table.
 */

/**
 * @param {string} id
 * @returns {HTMLElement}
 */
function need(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(id);
  return found;
}

const body = /** @type {HTMLTableSectionElement} */ (need("clips").querySelector("tbody"));
const rows = [...body.rows];
const places = new Map(rows.map((row, place) => [row, place]));
const heads = [...need("clips").querySelectorAll("th[data-sort]")].map(
  (head) => /** @type {HTMLTableCellElement} */ (head),
);

/**
 * The choice of a control; nothing where the page has none.
 *
 * @param {string} id
 */
function choice(id) {
  const control = document.getElementById(id);
  if (control instanceof HTMLSelectElement || control instanceof HTMLInputElement) return control.value;
  return "";
}

/**
 * What a cell is sorted by; missing numbers come last in either order.
 *
 * @param {HTMLTableCellElement} cell
 * @param {boolean} number
 * @param {number} sign
 */
function key(cell, number, sign) {
  if (!number) return (cell.textContent ?? "").trim();
  return cell.dataset.value === undefined ? sign * Infinity : Number(cell.dataset.value);
}

/**
 * @param {HTMLTableCellElement} head
 * @param {number} sign
 */
function sortBy(head, sign) {
  const number = head.dataset.sort === "number";
  const keys = new Map(rows.map((row) => [row, key(row.cells[head.cellIndex], number, sign)]));
  const words = new Intl.Collator(undefined, { numeric: true });
  rows.sort((one, other) => {
    const [a, b] = [keys.get(one) ?? 0, keys.get(other) ?? 0];
    const order = number ? Number(a) - Number(b) || 0 : words.compare(String(a), String(b));
    return sign * order || (places.get(one) ?? 0) - (places.get(other) ?? 0);
  });
  for (const each of heads) each.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
  body.append(...rows);
}

/** Sorts by the place in a preset, and hides what it leaves out. */
function show() {
  const preset = choice("preset");
  const name = choice("name").toLocaleLowerCase();
  const prediction = choice("prediction");
  const right = choice("right");
  let count = 0;
  for (const row of rows) {
    const file = (row.querySelector("th")?.querySelector("bdi")?.textContent ?? "").toLocaleLowerCase();
    row.hidden = !(
      (preset === "all" || row.dataset[preset] !== undefined) &&
      (prediction === "" || row.dataset.prediction === prediction) &&
      (right === "" || row.dataset.right === right) &&
      file.includes(name)
    );
    count += row.hidden ? 0 : 1;
  }
  need("count").textContent = `${count} of ${rows.length}`;
}

/** Puts the rows of a preset into its order; all into the first one. */
function order() {
  const preset = choice("preset");
  /** @param {HTMLTableRowElement} row */
  const place = (row) =>
    preset === "all" ? (places.get(row) ?? 0) : Number(row.dataset[preset] ?? Infinity);
  rows.sort((one, other) => place(one) - place(other) || 0);
  for (const each of heads) each.removeAttribute("aria-sort");
  body.append(...rows);
  show();
}

for (const head of heads) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = head.textContent;
  head.replaceChildren(button);
  button.addEventListener("click", () => {
    sortBy(head, head.getAttribute("aria-sort") === "ascending" ? -1 : 1);
  });
}
need("preset").addEventListener("change", order);
for (const id of ["prediction", "right", "name"]) document.getElementById(id)?.addEventListener("input", show);
need("choices").hidden = false;
show();
