/**
 * Sounds as numbers: how loud they are, and the part of them that lies in a band.
 */

const BLOCK_SECONDS = 0.05;
const QUIET = 0.01; // of the power of the loudest block: quieter blocks do not count
const LEVEL = 0.1; // root mean square that equal loudness aims at
const CEILING = 0.99;
const SLOPE = 0.1; // of a band's width: what its edges take to rise

/**
 * Return the root mean square of the blocks that are heard, of all channels, and the peak.
 * @param {Float32Array[]} channels
 * @param {number} rate
 */
export function measureLoudness(channels, rate) {
  const size = Math.max(1, Math.round(BLOCK_SECONDS * rate));
  const count = Math.ceil(channels[0].length / size);
  const powers = new Float64Array(count);
  let peak = 0;
  for (const samples of channels) {
    for (let i = 0; i < samples.length; i++) {
      powers[Math.floor(i / size)] += samples[i] ** 2 / (size * channels.length);
      peak = Math.max(peak, Math.abs(samples[i]));
    }
  }
  const loudest = powers.reduce((a, b) => Math.max(a, b), 0);
  const heard = powers.filter((p) => p > QUIET * loudest);
  return { level: Math.sqrt(heard.reduce((a, b) => a + b, 0) / (heard.length || 1)), peak };
}

/**
 * Return the gain that makes a sound as loud as the others, without exceeding full scale.
 * @param {{level: number, peak: number}} loudness
 */
export function equaliseLoudness({ level, peak }) {
  return peak ? Math.min(LEVEL / level, CEILING / peak) : 1;
}

/**
 * Transform complex numbers in place; the count is a power of two.
 * @param {Float64Array} re
 * @param {Float64Array} im
 * @param {1 | -1} sign -1 is the Fourier transform, 1 its inverse times the count.
 */
function transform(re, im, sign) {
  const count = re.length;
  for (let i = 1, j = 0; i < count; i++) {
    let bit = count >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      [re[i], re[j]] = [re[j], re[i]];
      [im[i], im[j]] = [im[j], im[i]];
    }
  }
  for (let size = 2; size <= count; size *= 2) {
    const half = size / 2;
    for (let k = 0; k < half; k++) {
      const angle = (sign * 2 * Math.PI * k) / size;
      const [c, s] = [Math.cos(angle), Math.sin(angle)];
      for (let i = k; i < count; i += size) {
        const j = i + half;
        const [a, b] = [re[j] * c - im[j] * s, re[j] * s + im[j] * c];
        [re[j], im[j]] = [re[i] - a, im[i] - b];
        [re[i], im[i]] = [re[i] + a, im[i] + b];
      }
    }
  }
}

/**
 * Return the part of a sound between two frequencies; the edges rise over a tenth of the width
 * outside the band, so that what lies in the band is untouched.
 * @param {Float32Array<ArrayBuffer>} samples
 * @param {number} rate
 * @param {number} low
 * @param {number} high
 * @returns {Float32Array<ArrayBuffer>}
 */
export function keepBand(samples, rate, low, high) {
  let count = 1;
  while (count < 2 * samples.length) count *= 2; // what rings does not come round
  const re = new Float64Array(count);
  const im = new Float64Array(count);
  re.set(samples);
  transform(re, im, -1);
  const slope = Math.max(SLOPE * (high - low), rate / count);
  for (let k = 0; k < count; k++) {
    const hertz = (Math.min(k, count - k) * rate) / count;
    const outside = Math.max(low - hertz, hertz - high, 0) / slope;
    const gain = outside < 1 ? (0.5 + 0.5 * Math.cos(Math.PI * outside)) / count : 0;
    re[k] *= gain;
    im[k] *= gain;
  }
  transform(re, im, 1);
  return Float32Array.from(re.subarray(0, samples.length));
}

/**
 * Return a part of a sound that rises and falls within a few milliseconds at its ends.
 * @param {Float32Array<ArrayBuffer>} samples
 * @param {number} first
 * @param {number} last
 * @param {number} fade Samples.
 * @returns {Float32Array<ArrayBuffer>}
 */
export function cutPart(samples, first, last, fade) {
  const part = samples.slice(first, last);
  const length = Math.min(fade, part.length >> 1);
  for (let i = 0; i < length; i++) {
    const gain = 0.5 - 0.5 * Math.cos((Math.PI * (i + 0.5)) / length);
    part[i] *= gain;
    part[part.length - 1 - i] *= gain;
  }
  return part;
}
