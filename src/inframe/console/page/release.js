// The release on its way: what is in which slot, and what a person of the role service may do about it.
import { by, make, pairs } from "./dom.js";
import { get, may } from "./link.js";
import { order, sure } from "./operate.js";
import { number, text } from "./words.js";

const MOVES = { checked: ["trial", "defer", "rollback"], shadow: ["trial", "defer", "rollback"], installed: ["defer", "rollback"], verified: ["defer", "rollback"], fetched: ["defer", "rollback"], trial: ["commit", "rollback"] };
let state = "";

export async function release(isPossible = true) {
  by("release-card").hidden = !isPossible;
  if (!isPossible) return;
  try { told(await get("/api/release")); } catch (refused) { pairs(by("release"), [[text("release.state"), refused.message]]); }
}

function told(now) {
  state = now.state;
  const line = slot => now.slots[slot] ? `${now.slots[slot].name}: ${Object.entries(now.slots[slot].bundles).map(([name, one]) => `${name} ${one.counter} (${one.sha256.slice(0, 12)}…)`).join(", ")}` : null;
  const trial = [now.trial.since && text("release.since", { since: now.trial.since, n: number(now.trial.procedures, 0) }), now.trial.deferred_until && text("release.deferred", { until: now.trial.deferred_until })].filter(Boolean).join("; ");
  pairs(by("release"), [
    [text("release.state"), text(`slots.${now.state.replace(" ", "_")}`) + (now.reason ? `: ${now.reason}` : "")],
    ...["active", "trial", "previous"].map(slot => [text(`release.slot.${slot}`), line(slot)]),
    [text("release.checks"), now.checkpoints.length ? make("ul", now.checkpoints.map(one => make("li", `${text(one.passed ? "release.passed" : "release.failed")} ${one.checkpoint}: ${one.reason}`))) : null],
    [text("release.compared"), now.compared || null], [text("release.trial"), trial || null],
    [text("release.floor"), Object.entries(now.floor).map(([name, counter]) => `${name} ${counter}`).join(", ") || null],
  ]);
  rights();
}

export function rights() {
  const possible = MOVES[state] ?? [];
  for (const button of document.querySelectorAll("[data-move]")) button.disabled = !may("service") || !possible.includes(button.dataset.move);
  for (const id of ["release-why", "release-hours"]) by(id).disabled = !may("service") || !possible.length;
}

export function begin() {
  for (const button of document.querySelectorAll("[data-move]")) button.addEventListener("click", async () => {
    const move = button.dataset.move, why = by("release-why").value.trim();
    if (why.length < 3) { by("release-why").setAttribute("aria-invalid", "true"); by("release-said").textContent = text("release.why.wanted"); by("release-why").focus(); return; }
    by("release-why").removeAttribute("aria-invalid");
    by("release-said").textContent = "";
    const body = move === "defer" ? { move, why, hours: Number(by("release-hours").value) } : { move, why };
    if (await sure(text(`release.${move}.sure`)) && await order("/api/release", body, "done")) { by("release-why").value = ""; release(); }
  });
}
