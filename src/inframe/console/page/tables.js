// Processes, streams, models: asked for anew while their view is open.
import { by, fill, make, pairs } from "./dom.js";
import { get } from "./link.js";
import { number, text } from "./words.js";

const columns = (prefix, names) => names.map(([name, kind]) => [text(`${prefix}.${name}`), kind]);

export async function processes() {
  const [told, streams] = await Promise.all([get("/api/processes"), get("/api/streams")]);
  const names = [["name"], ["class"], ["core"], ["memory", "number"], ["cpu", "number"], ["restarts", "number"], ["beat", "number"], ["counts", "text"]];
  fill(by("processes"), columns("processes", names), told.map(one => {
    const now = one.running;
    const scheduling = now ? `${now.scheduling}${now.priority ? ` ${now.priority}` : ""}` : text(one.has_started ? "processes.away" : "processes.never");
    return [one.name, scheduling, now ? `${now.core} (${now.cores})` : null, now ? number(now.memory_mb, 0) : null,
      now ? number(now.cpu_s, 1) : null, `${one.restarts}`, one.beat_ms === null ? null : number(one.beat_ms, 0), counted(one.counts)];
  }), told.map(one => one.running ? null : one.has_started ? "off" : "quiet"));
  const own = [["name"], ["camera"], ["size"], ["fps", "number"], ["age", "number"], ["quality"], ["frames", "number"], ["dropped", "number"], ["damaged", "number"], ["reconnects", "number"]];
  fill(by("streams"), columns("streams", own), streams.frames.map(one => [
    one.name, one.camera, one.size, `${number(one.fps, 1)} / ${number(one.declared_fps, 0)}`, number(one.age_ms, 0), quality(one.quality),
    number(one.frames, 0), number(one.dropped, 0), number(one.damaged, 0), number(one.reconnects, 0),
  ]), streams.frames.map(one => one.quality === "ok" ? null : "off"));
  by("sensors-title").hidden = by("sensors-box").hidden = streams.samples.length === 0;
  const sensed = [["name"], ["driver"], ["hz", "number"], ["age", "number"], ["quality"], ["values", "text"], ["samples", "number"], ["left", "number"], ["clock", "text"]];
  fill(by("sensors"), columns("sensors", sensed), streams.samples.map(one => [
    one.name, one.sensor, `${number(one.hz, 1)} / ${number(one.declared_hz, 0)}`, number(one.age_ms, 0), quality(one.quality),
    one.values.map(value => `${value.name} ${number(value.value, 2)}${value.unit ? ` ${value.unit}` : ""}`).join(", "), number(one.samples, 0), number(one.left_out, 0),
    one.clock ? text("sensors.clock.of", { drift: number(one.clock.drift_ppm, 0), ms: number(one.clock.uncertain_ms, 2) }) : null,
  ]), streams.samples.map(one => one.quality === "ok" ? null : "off"));
}

function quality(name) { return text(`quality.${name}`); }

function counted(counts) {
  return Object.entries(counts).map(([name, value]) => `${text(`counted.${name}`)} ${number(value, 0)}`).join(", ");
}

export async function models() {
  const told = await get("/api/models");
  by("models").replaceChildren(...told.map(one => {
    const list = make("dl");
    pairs(list, [
      [text("models.slot"), one.slot], [text("models.signed"), one.is_signed ? one.signed_by ?? text("yes") : text("models.unsigned")],
      [text("models.bundle"), one.bundle], [text("models.digest"), one.sha256 ? make("code", one.sha256) : null],
      [text("models.engine"), one.engine], [text("models.worker"), one.worker], [text("models.stream"), one.stream],
      [text("models.runs"), number(one.runs, 0)], [text("models.over"), one.over_budget === null ? null : text("models.over.of", { n: number(one.over_budget, 0), ms: number(one.budget_ms, 0) })],
      [text("models.labels"), one.labels.join(", ")],
    ]);
    return make("article", [make("h3", one.name), list], { class: "card" });
  }));
}
