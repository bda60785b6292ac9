// Brings the page to life: language, session, views, and the link to the device.
import { Alerts } from "./alerts.js";
import { by, pairs } from "./dom.js";
import * as drafts from "./drafts.js";
import { get, known, Link, session } from "./link.js";
import * as operate from "./operate.js";
import { Picture } from "./picture.js";
import { drift } from "./drift.js";
import * as reels from "./reels.js";
import * as release from "./release.js";
import { Sound } from "./sound.js";
import * as tables from "./tables.js";
import { Timing } from "./timing.js";
import * as trail from "./trail.js";
import { LANGUAGES, number, speak, text } from "./words.js";

const REFRESH_MS = 1000, LOOK_MS = 400;
const picture = new Picture(), timing = new Timing(), sound = new Sound(), alerts = new Alerts(trail.explain);
const OPENED = { processes: tables.processes, models: tables.models, drafts: drafts.open, service: () => Promise.all([operate.candidate(about.candidate), release.release(about.updates)]) };
const ASKED_ONCE = { drift, recordings: reels.recordings }; // they change with a procedure, not with a frame
let about = null, view = "live", state = null;

const link = new Link({
  picture: (kind, frame, jpeg) => picture.put(kind, frame, jpeg),
  open: () => { document.body.dataset.link = "open"; look(); if (!about) begin().catch(() => {}); },
  lost: mustLogIn => { document.body.dataset.link = "lost"; if (mustLogIn) again(); else setTimeout(look, LOOK_MS); },
  state: show,
});

function show(now) {
  state = now;
  if (!about) return; // the first pictures come before all that is known of the device
  by("mode").hidden = by("ai").hidden = false;
  by("mode").textContent = text(`mode.${now.mode}`);
  by("mode").classList.toggle("good", now.mode === "NOMINAL");
  const off = !now.controls.overlay_on ? "ai.overlay_off" : now.is_off ? "ai.off" : now.verdict === "HOLD" ? "ai.held" : "ai.on";
  by("ai").textContent = text(off, { ms: number(now.age_ms, 0) });
  by("ai").classList.toggle("good", off === "ai.on");
  pairs(by("status"), [
    [text("status.frame"), number(now.frame, 0)], [text("status.missed"), number(now.counts.missed, 0)],
    [text("latency"), `${number(now.latency_ms, 1)} ms`], [text("rate"), `${number(picture.rate, 0)}/s`],
    [text("status.verdict"), now.verdict], [text("status.audible"), text(`priority.${now.audible}`)], [text("status.faults"), now.faults.join(", ") || text("none")],
  ]);
  alerts.show(now);
  operate.controls(now);
  timing.take(now.samples);
  timing.show(now);
  sound.want(now.audible);
}

// Who we are may have changed while the link was away: a console that was started again knows nobody.
async function look() {
  try {
    const before = session.name;
    await operate.whoAmI();
    if (session.name !== before) again();
  } catch { /* it is not back yet; the link tries again */ }
}

async function again() {
  link.close();
  await operate.whoAmI();
  start();
}

async function first() {
  for (;;) {
    try { await operate.whoAmI(); return; } catch { await new Promise(resolve => setTimeout(resolve, LOOK_MS)); }
  }
}

// The picture first: what else the page needs comes beside it.
function start() {
  if (!session.role) { operate.askWho(); return; }
  if (!about) link.ask(false, picture.width);
  link.open();
}

// Pictures come in the size in which they are shown.
function ask() {
  if (view === "live" && about) link.ask(!by("camera").hidden, picture.width);
}

async function begin() {
  about = await get("/api/about");
  by("device").textContent = about.device;
  document.title = `${about.device} - inframe`;
  by("unsigned").hidden = about.unsigned.length === 0;
  picture.begin(about.stream);
  alerts.begin(about.priorities);
  said();
  await timing.begin(about);
  timing.say();
}

// All that is not in the page's own text and must be said anew in another language.
function said() {
  by("unsigned").textContent = text("unsigned");
  by("sound").textContent = text(sound.isOn ? "sound.on" : "sound");
  timing.say();
  trail.sayKinds();
  operate.demo(about ?? {});
  operate.rights();
  release.rights();
  alerts.items.forEach(item => item.element.remove());
  alerts.items.clear();
  if (state) show({ ...state, samples: [] });
  open(view);
}

async function open(name) {
  view = name;
  for (const button of document.querySelectorAll("nav button")) {
    const isOpen = button.dataset.view === name;
    if (isOpen) button.setAttribute("aria-current", "page"); else button.removeAttribute("aria-current");
    by(`view-${button.dataset.view}`).hidden = !isOpen;
  }
  ask();
  if (!session.role) return;
  if (name === "timing") timing.draw(true);
  if (name === "trail") { trail.checkpoint(); trail.search(); }
  try { await ASKED_ONCE[name]?.(); } catch { /* as below */ }
  await refresh();
}

async function refresh() {
  if (!session.role || document.hidden || document.body.dataset.link !== "open") return;
  try { await OPENED[view]?.(); } catch { /* the console is away; the link says so */ }
}

for (const button of document.querySelectorAll("nav button")) button.addEventListener("click", () => open(button.dataset.view));
by("explain").addEventListener("click", () => trail.explain(picture.frame));
by("picture").addEventListener("click", () => trail.explain(picture.frame));
by("frame-close").addEventListener("click", () => by("frame").close());
by("frame-proof").addEventListener("click", trail.saveProof);
by("search").addEventListener("submit", event => { event.preventDefault(); trail.search(); });
by("beside").addEventListener("click", () => {
  const both = by("camera").hidden;
  by("camera").hidden = !both;
  by("pictures").classList.toggle("two", both);
  by("beside").setAttribute("aria-pressed", both);
  ask();
});
addEventListener("resize", ask);
by("sound").addEventListener("click", () => {
  sound.switch();
  by("sound").setAttribute("aria-pressed", sound.isOn);
  by("sound").textContent = text(sound.isOn ? "sound.on" : "sound");
});
by("language").addEventListener("change", async () => {
  await speak(by("language").value);
  localStorage.setItem("language", by("language").value);
  said();
});

const wanted = localStorage.getItem("language") ?? navigator.language.slice(0, 2);
by("language").value = LANGUAGES.includes(wanted) ? wanted : "en";
known({});
await Promise.all([speak(by("language").value), first()]);
operate.rights();
operate.begin(about, again);
reels.begin();
release.begin();
setInterval(refresh, REFRESH_MS);
start();
