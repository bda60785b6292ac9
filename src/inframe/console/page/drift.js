// Drift: how far each signal is from the locked reference, and the procedures that say so.
import uPlot from "./vendor/uplot.js";
import { bar, by, fill, make } from "./dom.js";
import { get } from "./link.js";
import { number, text } from "./words.js";

const WHITE = "#e8ecf0", BLUE = "#7fb2ff";
let chart = null, strata = [], chosen = "";

export async function drift() {
  let told;
  try { told = await get("/api/drift"); } catch (refused) { by("drift-said").textContent = refused.message; return; }
  strata = told.strata;
  const now = strata.find(one => one.running_blocks > 0) ?? strata[0];
  by("drift-all").hidden = !now?.procedures;
  if (!now?.procedures) { by("drift-said").textContent = text(told.is_monitored ? "drift.nothing" : "drift.off"); return; }
  const models = Object.entries(now.charts), above = models.flatMap(([, one]) => one.above);
  by("drift-said").textContent = text(models.length ? above.length ? "drift.drifts" : "drift.holds" : "drift.unreferenced", { procedures: number(now.procedures, 0), cut: number(now.cut, 0), above: above.join(", ") });
  const columns = [["signal"], ["median", "number"], ["now", "number"], ["chart"], ["state"]].map(([name, kind]) => [text(`drift.${name}`), kind]);
  const rows = models.length
    ? models.flatMap(([model, one]) => Object.entries(one.height).sort((a, b) => b[1] - a[1]).map(([name, height]) => row(now, model, one, name, height)))
    : Object.keys(now.signals).map(name => [pick(name), number(now.signals[name].median, 3), null, null, null]);
  fill(by("drift-signals"), columns, rows);
  by("drift-alarms").replaceChildren(...now.alarms.map(alarm => make("li", text("drift.alarm", { procedure: number(alarm.procedure, 0), since: number(alarm.since, 0), model: alarm.model, what: alarm.text }))));
  by("drift-performance").textContent = models.map(([model, one]) => text("drift.performance", { model, what: one.performance })).join(" ");
  if (!(chosen in now.recent)) chosen = Object.keys(now.recent).find(name => above.includes(name)) ?? Object.keys(now.recent)[0] ?? "";
  draw(now);
}

function row(now, model, one, name, height) {
  return [name in now.recent ? pick(name) : name, number(now.signals[name]?.median, 3), number(one.now[name], 2), meter(height), text(one.above.includes(name) ? "drift.above" : "drift.below")];
}

function pick(name) {
  const button = make("button", name, { type: "button", "data-signal": name, "aria-pressed": String(name === chosen) });
  button.addEventListener("click", () => { chosen = name; drift(); });
  return button;
}

// The chart's height as a share of its limit, in numbers too
function meter(height) {
  return make("span", [bar(Math.min(1, height)), document.createTextNode(`${number(100 * height, 0)} %`)], { class: "meter" });
}

function draw(now) {
  const values = now.recent[chosen] ?? [], about = now.signals[chosen];
  by("drift-title").textContent = chosen ? text("drift.procedures", { name: chosen }) : "";
  chart?.destroy();
  by("drift-chart").replaceChildren();
  chart = null;
  if (values.length < 2 || !about) { by("drift-chart").textContent = text("drift.few"); return; }
  const first = now.procedures - values.length + 1, xs = values.map((_, i) => first + i), level = value => xs.map(() => value);
  const axis = { stroke: "#aab5c1", grid: { stroke: "#26303b" }, ticks: { stroke: "#26303b" }, font: "12px system-ui" };
  const line = (label, dash, stroke = WHITE) => ({ label, stroke, dash, width: 1.5, points: { show: false } });
  const series = [{ label: text("drift.procedure") }, { label: chosen, stroke: BLUE, width: 2, points: { size: 5, fill: BLUE } }, line(text("drift.median"), [8, 6]), line("5 %", [2, 5]), line("95 %", [2, 5])];
  chart = new uPlot({ width: by("drift-chart").clientWidth - 16, height: 220, series, scales: { x: { time: false } }, axes: [axis, { ...axis, size: 60 }], cursor: { drag: { x: false, y: false } } },
    [xs, values, level(about.median), level(about.q05), level(about.q95)], by("drift-chart"));
}
