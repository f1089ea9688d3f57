// The page: what was heard, where its relevance lies in time and frequency, and the sound.
import { explain, load, read } from "./explain.js";

const at = (id) => document.getElementById(id);
let model, samples;

async function start() {
  model = await load("explained.onnx");
  await listen("clip.wav");
}

async function listen(url) {
  at("sound").src = url;
  samples = await read(url, model);
  await show(-1);
}

async function show(which) {
  const { explained, relevance, relevance_frequency } = await explain(model, samples, which);
  const best = explained.indexOf(Math.max(...explained));
  const target = which < 0 ? best : which;
  at("heard").textContent = name(best);
  at("classes").replaceChildren(...model.told.labels.map((_, i) => button(i, explained[i], i === target)));
  draw(at("time"), relevance, model.told.outputs.relevance.axes.at(-1), samples);
  draw(at("frequency"), relevance_frequency, model.told.outputs.relevance_frequency.axes.at(-1));
}

const name = (i) => model.told.labels[i] ?? `class ${i}`;

function button(i, score, pressed) {
  const made = Object.assign(document.createElement("button"), {
    textContent: `${name(i)} ${score.toFixed(1)}`,
    onclick: () => show(i),
  });
  made.setAttribute("aria-pressed", pressed);
  return made;
}

/** Relevance summed in each column, red for and blue against; behind it the signal. */
function draw(canvas, relevance, { name, unit, start, step }, signal) {
  const { width, height } = canvas;
  const pen = canvas.getContext("2d");
  const columns = (values, gather) =>
    Array.from({ length: width }, (_, x) => {
      const edge = (k) => Math.floor((k * values.length) / width);
      return gather(values.subarray(edge(x), Math.max(edge(x + 1), edge(x) + 1)));
    });
  const bars = (heights, colour) => {
    const top = Math.max(...heights.map(Math.abs)) || 1;
    heights.forEach((h, x) => {
      pen.fillStyle = colour(h);
      pen.fillRect(x, height / 2, 1, (-h / top) * (height / 2));
    });
  };
  pen.clearRect(0, 0, width, height);
  if (signal) for (const end of [Math.max, Math.min]) bars(columns(signal, (v) => end(...v)), () => "#ccc");
  bars(columns(relevance, (v) => v.reduce((sum, r) => sum + r, 0)), (h) => (h > 0 ? "#c22" : "#22c"));
  const end = start + (relevance.length - 1) * step;
  canvas.nextElementSibling.textContent = `${name}: ${start} to ${end.toFixed(1)} ${unit}`;
}

at("file").onchange = ({ target }) => listen(URL.createObjectURL(target.files[0])).catch(complain);
const complain = (error) => (at("heard").textContent = error.message);
start().catch(complain);
