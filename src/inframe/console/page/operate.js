// What a person can do: log in and out, controls, the candidate, the end of the procedure, and what the demo breaks.
import { by, make, pairs, say } from "./dom.js";
import { get, known, may, post, session } from "./link.js";
import { has, number, text } from "./words.js";

const BREAKS = ["kill_model", "freeze_camera", "hog_cpu", "swap_model", "kill_console"];

// Says in the page what came of an order; true where it was carried out.
export async function order(path, body, done = null) {
  try {
    await post(path, body);
    if (done) say(text(done));
    return true;
  } catch (refused) {
    if (refused.status === 401) askWho();
    else say(text("refused.why", { why: refused.message }));
    return false;
  }
}

export async function whoAmI() {
  known(await get("/api/session"));
  rights();
}

export function rights() {
  by("who").textContent = session.name ? text(`who.${session.is_logged_in ? "person" : "local"}`, { name: session.name, role: has(`role.${session.role}`) ? text(`role.${session.role}`) : "" }) : text("who.nobody");
  by("login-open").hidden = session.is_logged_in || !session.can_log_in;
  by("logout").hidden = !session.is_logged_in;
  for (const id of ["acknowledge", "audio", "overlay", "opacity"]) by(id).disabled = !may("operator");
  for (const id of ["stop", "next"]) by(id).disabled = !(may("operator") && session.is_logged_in);
  for (const button of document.querySelectorAll("[data-order]")) button.disabled = !may("service");
  for (const button of document.querySelectorAll("[data-break]")) button.disabled = !may("operator");
}

export function askWho() {
  if (!session.can_log_in || by("login").open) return;
  by("login-said").textContent = "";
  by("login-form").reset();
  by("login").showModal();
}

export function controls(state) {
  const now = state.controls;
  if (document.activeElement !== by("opacity")) by("opacity").value = now.opacity;
  by("overlay").setAttribute("aria-pressed", now.overlay_on);
  by("audio").textContent = now.audio === "paused" ? text("audio.paused", { n: now.audio_left_s }) : text("audio.pause");
  by("audio").setAttribute("aria-pressed", now.audio === "paused");
}

export async function candidate(isPossible = true) {
  by("orders").hidden = !isPossible;
  if (!isPossible) { pairs(by("candidate"), [[text("candidate.phase"), text("candidate.impossible")]]); return; }
  try {
    const told = await get("/api/candidate"), health = told.health;
    const phase = ["none", "shadow", "trial"][health.phase] ?? "none";
    pairs(by("candidate"), [
      [text("candidate.phase"), text(`candidate.phase.${phase}`)], [text("candidate.models"), health.models.join(", ")],
      [text("candidate.compared"), number(health.measured.compared, 0)], [text("candidate.disagreement"), number(health.measured.disagreement, 4)],
      [text("candidate.p99"), `${number(health.measured.p99_ms, 1)} ms`], [text("candidate.last"), told.last.why || text("none")],
    ]);
  } catch (refused) { pairs(by("candidate"), [[text("candidate.phase"), refused.message]]); }
}

export function sure(what) {
  by("sure-text").textContent = what;
  const dialog = by("sure");
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise(resolve => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}

export function begin(about, again) {
  by("acknowledge").addEventListener("click", () => order("/api/control", { wish: "acknowledge" }, "acknowledged"));
  by("audio").addEventListener("click", () => order("/api/control", { wish: "audio_pause" }));
  by("overlay").addEventListener("click", () => order("/api/control", { wish: "overlay" }));
  by("opacity").addEventListener("change", () => order("/api/control", { wish: "opacity", value: Number(by("opacity").value) }));
  by("stop").addEventListener("click", async () => { if (await sure(text("stop.sure"))) order("/api/stop", { then: "end" }, "stopped"); });
  by("next").addEventListener("click", async () => { if (await sure(text("next.sure"))) order("/api/stop", { then: "next" }, "next.begins"); });
  for (const button of document.querySelectorAll("[data-order]")) button.addEventListener("click", async () => {
    if (await sure(text(`candidate.${button.dataset.order}.sure`)) && await order("/api/candidate", { order: button.dataset.order }, "done")) candidate();
  });
  by("login-open").addEventListener("click", askWho);
  by("login-cancel").addEventListener("click", () => by("login").close());
  by("login-form").addEventListener("submit", event => { event.preventDefault(); logIn(again); });
  by("logout").addEventListener("click", async () => { try { known(await post("/api/logout")); } finally { again(); } });
}

async function logIn(again) {
  by("login-said").textContent = text("login.trying");
  try {
    known(await post("/api/login", { name: by("login-name").value, password: by("login-password").value }));
    by("login").close();
    again();
  } catch (refused) {
    by("login-said").textContent = refused.status === 401 ? text("login.wrong") : refused.status === 429 ? text("login.locked") : refused.message;
    by("login-password").value = "";
    by("login-password").focus();
  }
}

export function demo(about) {
  by("demo").hidden = !about.demo;
  if (!about.demo) return;
  by("breaks").replaceChildren(...BREAKS.map(what => {
    const button = make("button", text(`break.${what}`), { type: "button", "data-break": what });
    button.addEventListener("click", () => order("/api/break", { what }, `break.${what}.done`));
    return button;
  }));
}
