// Explain a recording with a file that `dftlrp export` wrote, by onnxruntime-web alone.
import * as ort from "./ort/ort.wasm.min.mjs";

ort.env.wasm.numThreads = 1; // more would need a page that is cross-origin isolated

/** The exported file: a session, and what the file tells of itself (its metadata entry `dftlrp`). */
export async function load(url) {
  const bytes = await fetched(url);
  const session = await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] });
  const told = JSON.parse(metadata(bytes).dftlrp);
  const [signal] = Object.keys(told.inputs);
  const declared = session.inputMetadata.find((input) => input.name === signal).shape;
  const shape = declared.map((n) => (typeof n === "number" ? n : 1)); // the batch may be open
  return { session, told, signal, shape, target: session.inputNames.find((n) => n !== signal) };
}

/** A sound file as mono samples at the rate that the model reads, padded or cut to its length. */
export async function read(url, { told, shape }) {
  const { buffer } = await fetched(url);
  const sound = await new OfflineAudioContext(1, 1, told.rate).decodeAudioData(buffer);
  const samples = new Float32Array(shape.at(-1));
  for (let channel = 0; channel < sound.numberOfChannels; channel++) {
    const found = sound.getChannelData(channel).subarray(0, samples.length);
    found.forEach((x, i) => (samples[i] += x / sound.numberOfChannels));
  }
  return samples;
}

/** The file's outputs by name, for a class or (-1) the largest: each an array of numbers. */
export async function explain({ session, signal, shape, target }, samples, which = -1) {
  const outputs = await session.run({
    [signal]: new ort.Tensor("float32", samples, shape),
    [target]: new ort.Tensor("int64", BigInt64Array.of(BigInt(which)), [1]),
  });
  return Object.fromEntries(Object.entries(outputs).map(([name, { data }]) => [name, data]));
}

async function fetched(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status} ${response.statusText}`);
  return new Uint8Array(await response.arrayBuffer());
}

/** An ONNX file's metadata entries, which onnxruntime-web does not give. */
function metadata(bytes) {
  const entries = [...fields(bytes)].filter(([number]) => number === 14);
  const text = (part) => new TextDecoder().decode(part);
  return Object.fromEntries(entries.map(([, entry]) => [...fields(entry)].map(([, part]) => text(part))));
}

/** [number, bytes] of a protobuf message's fields that have a length; plain numbers are skipped. */
function* fields(bytes) {
  let at = 0;
  const varint = () => {
    for (let value = 0, scale = 1; ; scale *= 128) {
      const byte = bytes[at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const key = varint();
    const length = varint(); // of a plain number: itself
    if (key % 8 !== 2) continue;
    yield [key >> 3, bytes.subarray(at, at + length)];
    at += length;
  }
}
