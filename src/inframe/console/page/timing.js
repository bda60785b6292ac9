// Where the time goes: each step of the last minute's frames, as a strip, as a histogram and in numbers.
import uPlot from "./vendor/uplot.js";
import { by, fill, make } from "./dom.js";
import { get } from "./link.js";
import { number, text } from "./words.js";

const KEPT = 1800, DRAW_MS = 500, BINS = 60;
const COLOURS = ["#e8ecf0", "#8aa0b8", "#7fb2ff", "#b8a1ff", "#f2a7d0", "#8fd6a4"]; // none of an alert's

export class Timing {
  constructor() {
    this.samples = [];
    this.last = 0;
    this.drawn = 0;
    this.deadline = 33;
    this.steps = ["total"];
    this.charts = null;
    by("step").addEventListener("change", () => this.draw(true));
    addEventListener("resize", () => this.resize());
  }

  async begin(about) {
    this.deadline = about.deadline_ms;
    this.steps = ["total", ...about.steps];
    this.budget = Math.max(0, ...Object.values(about.budgets_ms));
    this.take((await get("/api/latency")).samples);
  }

  say() {
    const chosen = by("step").value;
    by("step").replaceChildren(...this.steps.map(step => make("option", text(`step.${step}`), { value: step })));
    by("step").value = chosen || "total";
    this.charts?.forEach(chart => chart.destroy());
    this.charts = null;
  }

  take(samples) {
    for (const sample of samples) {
      if (sample[0] < this.last - KEPT) this.samples = []; // the device was started again
      else if (sample[0] <= this.last) continue;
      this.samples.push(sample);
      this.last = sample[0];
    }
    this.samples.splice(0, Math.max(0, this.samples.length - KEPT));
  }

  show(state) {
    if (by("view-timing").hidden) return;
    const counts = state.counts;
    const tiles = [["shown", counts.frames], ["missed", counts.missed], ["show", counts.show], ["hold", counts.hold], ["withhold", counts.withhold]];
    by("counts").replaceChildren(...tiles.map(([key, value]) => make("div", [make("b", number(value, 0)), make("span", text(`count.${key}`), { class: "quiet" })])));
    this.draw(false);
  }

  draw(now) {
    if (by("view-timing").hidden || (!now && performance.now() - this.drawn < DRAW_MS)) return;
    this.drawn = performance.now();
    if (!this.charts) this.charts = [this.strip(), this.histogram()];
    const frames = this.samples.map(sample => sample[0]);
    const lines = this.steps.map((_, i) => this.samples.map(sample => sample[i + 1]));
    this.charts[0].setData([frames, ...lines, frames.map(() => this.deadline)]);
    this.charts[1].setData(this.bins());
    this.numbers();
  }

  strip() {
    const series = this.steps.map((step, i) => ({ label: text(`step.${step}`), stroke: COLOURS[i], width: i ? 1 : 2, points: { show: false }, value: ms }));
    const budget = { label: text("timing.deadline"), stroke: "#ffffff", dash: [8, 6], width: 1.5, points: { show: false }, value: ms };
    return new uPlot(this.options("strip", [{ label: text("frame") }, ...series, budget], { x: { time: false }, y: { range: (_, __, most) => [0, Math.max(most, this.deadline) * 1.1] } }), [[], ...series.map(() => []), []], by("strip"));
  }

  histogram() {
    const bars = uPlot.paths.bars({ size: [0.9, 40] });
    const series = [{ label: text("timing.ms"), value: ms }, { label: text("timing.frames"), stroke: "#7fb2ff", fill: "#7fb2ff66", paths: bars, points: { show: false } }];
    const hooks = { draw: [chart => line(chart, this.deadline, "#ffffff"), chart => { if (by("step").value === "infer" && this.budget) line(chart, this.budget, "#b8a1ff"); }] };
    return new uPlot({ ...this.options("histogram", series, { x: { time: false, range: () => [0, this.deadline * 1.5] }, y: { range: (_, __, most) => [0, Math.max(5, most * 1.1)] } }), hooks }, [[], []], by("histogram"));
  }

  options(id, series, scales) {
    const axis = { stroke: "#aab5c1", grid: { stroke: "#26303b" }, ticks: { stroke: "#26303b" }, font: "12px system-ui" };
    return { width: by(id).clientWidth - 16, height: 210, series, scales, axes: [axis, { ...axis, size: 55 }], cursor: { drag: { x: false, y: false } } };
  }

  resize() { this.charts?.forEach((chart, i) => chart.setSize({ width: by(i ? "histogram" : "strip").clientWidth - 16, height: 210 })); }

  values(step) {
    const at = 1 + this.steps.indexOf(step);
    return this.samples.map(sample => sample[at]).filter(value => value !== null);
  }

  bins() {
    const width = this.deadline * 1.5 / BINS, counts = new Array(BINS).fill(0);
    for (const value of this.values(by("step").value || "total")) counts[Math.min(BINS - 1, Math.floor(value / width))] += 1;
    return [counts.map((_, i) => (i + 0.5) * width), counts];
  }

  numbers() {
    const columns = [[text("timing.step")], ...["p50", "p90", "p99", "max"].map(name => [name, "number"])];
    fill(by("quantiles"), columns, this.steps.map(step => {
      const sorted = this.values(step).sort((a, b) => a - b);
      const at = q => sorted.length ? number(sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))], 2) : "–";
      return [text(`step.${step}`), at(0.5), at(0.9), at(0.99), at(1)];
    }));
  }

}

function ms(_, value) { return value === null || value === undefined ? "–" : `${number(value, 1)} ms`; }

function line(chart, value, colour) {
  const x = chart.valToPos(value, "x", true), pen = chart.ctx;
  pen.save();
  pen.strokeStyle = colour;
  pen.setLineDash([8, 6]);
  pen.lineWidth = 2;
  pen.beginPath();
  pen.moveTo(x, chart.bbox.top);
  pen.lineTo(x, chart.bbox.top + chart.bbox.height);
  pen.stroke();
  pen.restore();
}
