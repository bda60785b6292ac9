// The record: search it, and explain one frame in full.
import { bar, by, fill, make, pairs } from "./dom.js";
import { get } from "./link.js";
import { number, text } from "./words.js";

const KINDS = ["start", "stop", "fault", "alert", "acknowledged", "update", "config", "login", "export", "gap", "prune", "witness"];
const TRIES = 6, AGAIN_MS = 700;
let proof = null;

export function sayKinds() {
  const chosen = by("search-kind").value;
  by("search-kind").replaceChildren(make("option", text("trail.all"), { value: "" }), ...KINDS.map(kind => make("option", text(`kind.${kind}`), { value: kind })));
  by("search-kind").value = chosen;
}

export async function checkpoint() {
  try {
    const told = await get("/api/checkpoint");
    by("checkpoint").textContent = text("trail.checkpoint", { leaves: number(told.leaves, 0), origin: told.origin, root: told.root.slice(0, 16) });
  } catch (refused) { by("checkpoint").textContent = refused.message; }
}

export async function search() {
  const wanted = new URLSearchParams({ minutes: by("search-minutes").value || "10" });
  if (by("search-text").value) wanted.set("text", by("search-text").value);
  if (by("search-kind").value) wanted.set("kind", by("search-kind").value);
  if (by("search-frames").checked) wanted.set("frames", "true");
  by("search-said").textContent = text("trail.searching");
  try {
    const told = await get(`/api/trail?${wanted}`);
    const columns = [[text("trail.time"), "time"], [text("trail.kind")], [text("trail.name"), "text"], [text("trail.what"), "text"], [text("trail.why")]];
    fill(by("lines"), columns, told.lines.map(row));
    by("search-said").textContent = text(told.is_whole ? "trail.found" : "trail.found.part", { n: told.lines.length });
  } catch (refused) { by("search-said").textContent = refused.message; }
}

function row(line) {
  const data = Object.entries(line.data).map(([name, value]) => `${name}=${value}`).join("  ");
  const who = line.who ? ` [${line.who}]` : "";
  return [line.time.slice(0, 10) + " " + line.time.slice(11, 23), line.kind, line.name + who, `${line.text}  ${data}`.trim(), frameOf(line) ? why(frameOf(line)) : ""];
}

function frameOf(line) {
  const named = line.data.frame ?? (line.kind.startsWith("FRAME") ? /(\d+)/.exec(line.name.split(" ").at(-1))?.[1] : null);
  return Number(named ?? 0);
}

function why(frame) {
  const button = make("button", text("trail.frame", { n: frame }), { type: "button" });
  button.addEventListener("click", () => explain(frame));
  return button;
}

// A frame's record is on the disk about a second after the frame was shown.
export async function explain(frame) {
  if (!frame) return;
  by("frame-title").textContent = text("frame.title", { n: frame });
  by("frame-body").replaceChildren();
  by("frame-proof").disabled = true;
  by("frame-said").textContent = text("frame.waiting");
  if (!by("frame").open) by("frame").showModal();
  for (let left = TRIES; left; left--) {
    try {
      const told = await get(`/api/frame?seq=${frame}`);
      if (told.is_there) { show(told); return; }
    } catch (refused) { by("frame-said").textContent = refused.message; return; }
    await new Promise(resolve => setTimeout(resolve, AGAIN_MS));
  }
  by("frame-said").textContent = text("frame.missing");
}

function show(told) {
  proof = { name: `frame-${told.frame}.tlog-proof`, text: told.proof };
  by("frame-proof").disabled = false;
  by("frame-said").textContent = text("frame.proven");
  const list = make("dl");
  pairs(list, [
    [text("frame.shown"), `${told.shown.slice(0, 23)}Z, ${text("frame.after", { ms: number((told.shown_ns - told.captured_ns) / 1e6, 2) })}`],
    [text("frame.verdict"), `${told.verdict}, ${told.mode}${told.age_ns ? `, ${text("frame.age", { ms: number(told.age_ns / 1e6, 0) })}` : ""}`],
    [text("frame.flags"), told.flags.join(", ") || text("none")], [text("frame.findings"), told.findings.map(one => `${one.text} (${number(one.value, 3)})`).join(", ") || text("none")],
    [text("frame.alerts"), Object.entries(told.alerts).map(([key, presence]) => `${key} ${presence}`).join(", ") || text("none")],
    [text("frame.input"), make("code", told.input ?? "–")], [text("frame.output"), make("code", told.output ?? "–")], [text("frame.config"), make("code", told.config)],
    [text("frame.procedure"), make("code", told.procedure ?? "–")], [text("frame.leaf"), text("frame.leaf.of", { leaf: told.leaf, size: told.log.size, origin: told.log.origin })],
  ]);
  by("frame-body").replaceChildren(list, ...told.models.map(model), make("details", [make("summary", text("frame.page")), make("pre", told.page)]));
}

function model(one) {
  const list = make("dl"), part = make("section", [make("h3", text("frame.model", { name: one.name })), list]);
  pairs(list, [[text("frame.result"), one.result], [text("models.slot"), one.slot], [text("models.engine"), one.engine], [text("models.digest"), make("code", one.bundle)], [text("frame.preprocess"), make("code", one.preprocess)]]);
  const steps = ["wait", "preprocess", "infer", "decode"].filter(step => `${step}_ns` in one);
  if (steps.length) part.append(bars(steps.map(step => [text(`step.${step}`), one[`${step}_ns`] / 1e6])));
  return part;
}

function bars(rows) {
  const most = Math.max(...rows.map(row => row[1]), 0.001);
  return make("div", rows.flatMap(([name, value]) => [make("span", name), bar(value / most), make("span", `${number(value, 2)} ms`)]), { class: "bars" });
}

export function saveProof() {
  if (!proof) return;
  const link = make("a", "", { href: URL.createObjectURL(new Blob([proof.text], { type: "text/plain" })), download: proof.name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
