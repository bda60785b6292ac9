// The live picture: the newest that has come is drawn, those in between are left out.
import { by } from "./dom.js";
import { text } from "./words.js";

const STOPPED_MS = 1500, RATED_MS = 2000;
const SHOWN = 0;

class Canvas {
  constructor(id) { this.element = by(id); this.pen = this.element.getContext("2d", { alpha: false }); this.waiting = null; this.busy = false; this.frame = 0; }

  put(frame, jpeg, drawn) {
    this.waiting = [frame, jpeg];
    if (!this.busy) this.draw(drawn);
  }

  async draw(drawn) {
    this.busy = true;
    while (this.waiting) {
      const [frame, jpeg] = this.waiting;
      this.waiting = null;
      try {
        const image = await createImageBitmap(new Blob([jpeg], { type: "image/jpeg" }));
        if (this.element.width !== image.width) [this.element.width, this.element.height] = [image.width, image.height];
        this.pen.drawImage(image, 0, 0);
        image.close();
        this.frame = frame;
        drawn();
      } catch { /* a damaged picture is left out; the next one comes */ }
    }
    this.busy = false;
  }
}

export class Picture {
  constructor() {
    this.shown = new Canvas("picture");
    this.raw = new Canvas("raw");
    this.drawn = 0;
    this.rate = 0;
    this.last = 0;
    this.times = [];
    setInterval(() => this.look(), 250);
  }

  begin(stream) {
    for (const { element } of [this.shown, this.raw]) {
      element.style.setProperty("--own", `${stream.width}px`);
      element.style.setProperty("--ratio", stream.width / stream.height);
    }
  }

  put(kind, frame, jpeg) {
    if (kind === SHOWN) this.shown.put(frame, jpeg, () => this.count());
    else this.raw.put(frame, jpeg, () => {});
  }

  // how many pixels wide a picture is shown here
  get width() { return Math.round(this.shown.element.clientWidth * devicePixelRatio); }

  get frame() { return this.shown.frame; }

  count() {
    this.drawn += 1;
    this.last = performance.now();
    this.times.push(this.last);
    while (this.times[0] < this.last - RATED_MS) this.times.shift();
    document.body.dataset.pictures = this.drawn;
    document.body.dataset.first ??= this.last;
  }

  // a picture that has stopped looks exactly like a still scene: say so instead
  look() {
    const stopped = performance.now() - this.last > STOPPED_MS;
    by("shown").classList.toggle("lost", stopped);
    by("lost").hidden = !stopped;
    by("lost").textContent = stopped ? text("picture.lost") : "";
    this.rate = stopped ? 0 : this.times.length * 1000 / RATED_MS;
    document.body.dataset.rate = this.rate;
  }
}
