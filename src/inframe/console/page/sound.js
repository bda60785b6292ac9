// Auditory signals after IEC 60601-1-8: bursts of pulses by priority. Off until a person switches them on here; a browser on
// some other desk is no alarm system, and the device's own signal does not depend on it.
const PATTERNS = {
  // offsets of the pulses in s, length of a pulse, fundamental in Hz, from the start of a burst to the next
  high: { at: [0, 0.2, 0.4, 0.75, 0.95, 1.6, 1.8, 2.0, 2.35, 2.55], pulse: 0.12, hz: 622, every: 6 },
  medium: { at: [0, 0.35, 0.7], pulse: 0.18, hz: 523, every: 8 },
  low: { at: [0], pulse: 0.2, hz: 440, every: 20 },
};
const RISE = 0.02;

export class Sound {
  constructor() { this.context = null; this.priority = "none"; this.next = 0; this.bursts = 0; }

  get isOn() { return this.context !== null; }

  switch() {
    if (this.context) { this.context.close(); this.context = null; return; }
    this.context = new AudioContext();
    const partials = new Float32Array([0, 1, 0.7, 0.5, 0.4, 0.3]); // at least four harmonics beside the fundamental
    this.wave = this.context.createPeriodicWave(partials, new Float32Array(partials.length));
    this.next = 0;
  }

  want(priority) {
    if (priority !== this.priority) { this.priority = priority; this.next = 0; }
    const pattern = PATTERNS[priority];
    if (!this.context || !pattern || this.context.currentTime < this.next) return;
    this.next = this.context.currentTime + pattern.every;
    this.bursts += 1;
    for (const at of pattern.at) this.pulse(this.context.currentTime + at, pattern);
  }

  pulse(at, { pulse, hz }) {
    const source = this.context.createOscillator(), gain = this.context.createGain();
    source.setPeriodicWave(this.wave);
    source.frequency.value = hz;
    gain.gain.setValueAtTime(0, at);
    gain.gain.linearRampToValueAtTime(0.3, at + RISE);
    gain.gain.setValueAtTime(0.3, at + pulse - RISE);
    gain.gain.linearRampToValueAtTime(0, at + pulse);
    source.connect(gain).connect(this.context.destination);
    source.start(at);
    source.stop(at + pulse);
  }
}
