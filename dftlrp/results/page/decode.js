/**
 * Arrays of numbers as the page holds them: whole numbers, deflated, in base64.
 *
 * @typedef {object} Packed
 * @property {"uint8" | "int16"} type What the numbers are stored as.
 * @property {number[]} shape
 * @property {number} scale Value of one step.
 * @property {number} offset Value of the number 0.
 * @property {string} data The low bytes of all numbers, then their high bytes; zlib, base64.
 *
 * @typedef {object} Numbers
 * @property {number[]} shape
 * @property {Float32Array} values
 */

/**
 * Return the bytes that a base64 text stands for.
 * @param {string} text
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function decodeBase64(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

/**
 * @param {Uint8Array<ArrayBuffer>} bytes
 * @returns {Promise<Uint8Array<ArrayBuffer>>}
 */
async function inflate(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/**
 * Return the values of an array of the page.
 * @param {Packed} packed
 * @returns {Promise<Numbers>}
 */
export async function decodeArray(packed) {
  const bytes = await inflate(decodeBase64(packed.data));
  const count = packed.shape.reduce((a, b) => a * b, 1);
  const wide = packed.type === "int16";
  if (bytes.length !== count * (wide ? 2 : 1)) throw new Error("this page is damaged");
  const values = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const whole = wide ? ((bytes[i] | (bytes[count + i] << 8)) << 16) >> 16 : bytes[i];
    values[i] = packed.offset + packed.scale * whole;
  }
  return { shape: packed.shape, values };
}
