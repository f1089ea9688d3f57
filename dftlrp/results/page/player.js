/**
 * One player for all sounds of a page: one position, one sound at a time.
 *
 * Positions are seconds of the recording, whatever speed it is played at.
 *
 * @import { Span } from "./axes.js"
 */
import { decodeBase64 } from "./decode.js";
import { cutPart, equaliseLoudness, keepBand, measureLoudness } from "./sound.js";

const FADE = 0.008; // seconds in which a sound comes and goes

/**
 * @typedef {object} Part What is played of a sound.
 * @property {Span | null} time
 * @property {Span | null} band Hertz of the recording.
 *
 * @typedef {object} Playing
 * @property {AudioBufferSourceNode} source
 * @property {GainNode} gain
 * @property {number} clock When it began, on the clock of the sound card.
 * @property {number} from Where it began, in the recording.
 * @property {Span} span
 * @property {boolean} loops
 * @property {number} stretch Seconds of the recording in one that is heard.
 */

/** A sound of the page, decoded when it is first heard. */
export class Sound {
  /** @type {Promise<AudioBuffer> | null} */
  #buffer = null;
  /** @type {{key: string, buffer: AudioBuffer} | null} */
  #part = null;
  equal = 1;

  /**
   * @param {string} uri Data URI of a sound file.
   * @param {number} rate
   * @param {number} stretch Seconds of the recording in one that is heard.
   * @param {Span} whole Where the longest recording starts and stops: a shorter one ends in silence.
   */
  constructor(uri, rate, stretch, { start, stop }) {
    this.uri = uri;
    this.rate = rate;
    this.stretch = stretch;
    this.start = start;
    this.stop = stop; // of its own, once it is decoded
  }

  /** @returns {Promise<AudioBuffer>} */
  decode() {
    this.#buffer ??= this.#read();
    return this.#buffer;
  }

  async #read() {
    const bytes = decodeBase64(this.uri.slice(this.uri.indexOf(",") + 1));
    // A context of the sound's own rate decodes without resampling.
    const buffer = await new OfflineAudioContext(1, 1, this.rate).decodeAudioData(bytes.buffer);
    this.equal = equaliseLoudness(measureLoudness(listChannels(buffer), this.rate));
    const length = Math.round(((this.stop - this.start) / this.stretch) * this.rate);
    if (length <= buffer.length) return buffer;
    this.stop = this.start + (buffer.length / this.rate) * this.stretch;
    const longer = new AudioBuffer({ length, numberOfChannels: buffer.numberOfChannels, sampleRate: this.rate });
    listChannels(buffer).forEach((samples, c) => longer.copyToChannel(samples, c));
    return longer;
  }

  /**
   * Return the sound of a part: silence outside its time, nothing outside its band.
   * @param {Part} part
   */
  async cut({ time, band }) {
    const whole = await this.decode();
    const { stretch } = this;
    if (!time && !band) return whole;
    const key = JSON.stringify([time, band]);
    if (this.#part?.key === key) return this.#part.buffer;
    const buffer = new AudioBuffer({
      length: whole.length,
      numberOfChannels: whole.numberOfChannels,
      sampleRate: whole.sampleRate,
    });
    const place = (/** @type {number} */ seconds) =>
      Math.round(((seconds - this.start) / stretch) * this.rate);
    const [first, last] = time ? [place(time.start), place(time.stop)] : [0, whole.length];
    listChannels(whole).forEach((samples, c) => {
      const [low, high] = band ? [band.start * stretch, band.stop * stretch] : [0, 0];
      const kept = band ? keepBand(samples, this.rate, low, high) : samples;
      buffer.copyToChannel(cutPart(kept, first, last, Math.round(FADE * this.rate)), c, first);
    });
    this.#part = { key, buffer };
    return buffer;
  }
}

/** @param {AudioBuffer} buffer */
function listChannels(buffer) {
  return Array.from({ length: buffer.numberOfChannels }, (_, c) => buffer.getChannelData(c));
}

export class Player extends EventTarget {
  /** @type {AudioContext | null} */
  #context = null;
  /** @type {Playing | null} */
  #playing = null;
  /** @type {Part} */
  #part = { time: null, band: null };
  #turn = 0; // of what was last asked for; what is overtaken while it decodes is dropped
  #wanted = false;
  #at = 0;
  /** @type {number | null} */
  #next = null; // where to go on, once the sound is ready
  #before = 0;
  chosen = 0;
  loops = false;
  equal = true;

  /**
   * @param {Sound[]} sounds
   * @param {Span} whole Where the longest recording starts and stops.
   */
  constructor(sounds, whole) {
    super();
    this.sounds = sounds;
    this.whole = whole;
    this.#at = whole.start;
    this.#before = Math.min(1, sounds.length - 1);
  }

  get playing() {
    return this.#wanted;
  }

  /** The span that is played: a sound to its own end, silence behind it to the end of all. */
  get span() {
    const { start, stop } = this.sounds[this.chosen] ?? this.whole;
    return this.#part.time ?? { start, stop: this.#at < stop ? stop : this.whole.stop };
  }

  /** Where the sound is that is heard now, in seconds of the recording. */
  get position() {
    if (this.#next !== null) return this.#next;
    if (!this.#playing || !this.#context) return this.#at;
    const { clock, from, span, loops, stretch } = this.#playing;
    const heard = this.#context.currentTime - (this.#context.outputLatency || 0);
    const at = from + Math.max(heard - clock, 0) * stretch;
    if (!loops || at < span.stop) return Math.min(at, span.stop);
    return span.start + ((at - span.start) % (span.stop - span.start));
  }

  async play() {
    if (!this.sounds.length) return;
    this.#wanted = true;
    this.#tell();
    await this.#restart();
  }

  pause() {
    this.#at = this.position;
    this.#next = null;
    this.#wanted = false;
    this.#silence();
    this.#tell();
  }

  async toggle() {
    if (this.#wanted) this.pause();
    else await this.play();
  }

  /** @param {number} seconds */
  async seek(seconds) {
    await this.#goOn(Math.min(Math.max(seconds, this.whole.start), this.whole.stop));
  }

  /** @param {number} index */
  async choose(index) {
    if (index === this.chosen || !this.sounds[index]) return;
    this.#before = this.chosen;
    this.chosen = index;
    await this.#goOn(null);
  }

  /** Change to the sound that was heard before, at the same place. */
  async swap() {
    await this.choose(this.#before);
  }

  /** @param {Part} part */
  async setPart(part) {
    const at = part.time ? part.time.start : this.position;
    this.#part = part;
    await this.#goOn(at);
  }

  /** @param {boolean} loops */
  async setLoop(loops) {
    this.loops = loops;
    await this.#goOn(null);
  }

  /** @param {boolean} equal */
  setEqual(equal) {
    this.equal = equal;
    if (this.#playing) this.#playing.gain.gain.value = this.#gain;
    this.#tell();
  }

  get #gain() {
    return this.equal ? this.sounds[this.chosen].equal : 1;
  }

  /** @param {number | null} at Where to; null: where it is. */
  async #goOn(at) {
    if (this.#wanted) this.#next = at ?? this.#next;
    else this.#at = at ?? this.#at;
    this.#tell();
    if (this.#wanted) await this.#restart();
  }

  async #restart() {
    const turn = ++this.#turn;
    this.#context ??= new AudioContext();
    const context = this.#context;
    if (context.state !== "running") await context.resume();
    const buffer = await this.sounds[this.chosen].cut(this.#part);
    if (turn !== this.#turn || !this.#wanted) return;
    this.#at = this.position;
    this.#next = null;
    this.#silence();
    this.#start(context, buffer);
  }

  /**
   * @param {AudioContext} context
   * @param {AudioBuffer} buffer
   */
  #start(context, buffer) {
    const { span, loops } = this;
    const { stretch } = this.sounds[this.chosen];
    if (this.#at < span.start || this.#at >= span.stop - 1e-3) this.#at = span.start;
    const source = new AudioBufferSourceNode(context, { buffer, loop: loops });
    const gain = new GainNode(context, { gain: this.#gain });
    const edge = new GainNode(context, { gain: 0 });
    edge.gain.linearRampToValueAtTime(1, context.currentTime + FADE);
    source.connect(gain).connect(edge).connect(context.destination);
    const heard = (/** @type {number} */ seconds) => (seconds - this.whole.start) / stretch;
    if (loops) {
      source.loopStart = heard(span.start);
      source.loopEnd = heard(span.stop);
      source.start(0, heard(this.#at));
    } else {
      source.start(0, heard(this.#at), heard(span.stop) - heard(this.#at));
    }
    this.#playing = { source, gain, clock: context.currentTime, from: this.#at, span, loops, stretch };
    source.onended = () => this.#finish(source);
  }

  #silence() {
    if (!this.#playing || !this.#context) return;
    const { source, gain } = this.#playing;
    const now = this.#context.currentTime;
    gain.gain.setValueAtTime(gain.gain.value, now);
    gain.gain.linearRampToValueAtTime(0, now + FADE);
    source.onended = null;
    source.stop(now + FADE);
    this.#playing = null;
  }

  /** @param {AudioBufferSourceNode} source */
  #finish(source) {
    if (this.#playing?.source !== source) return;
    this.#playing = null;
    this.#wanted = false;
    this.#at = this.span.start;
    this.#tell();
  }

  #tell() {
    this.dispatchEvent(new Event("change"));
  }
}
