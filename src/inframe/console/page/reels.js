// Recordings: the list, any moment of one, and the same moment as a replay of it would have shown it.
import { called } from "./alerts.js";
import { by, fill, make, pairs } from "./dom.js";
import { get } from "./link.js";
import { language, number, text } from "./words.js";

const SIDES = ["recorded", "replayed"];
let open = null, asking = false, again = false, replays = {};

export async function recordings() {
  const told = await get("/api/recordings");
  replays = Object.fromEntries(told.files.map(file => [file.name, file.replays]));
  by("recordings-said").textContent = told.folder ? text("recordings.folder", { folder: told.folder, codec: told.codec }) : text("recordings.none");
  const names = [["name", "text"], ["size", "number"], ["changed"], ["replays", "text"], ["open"]];
  fill(by("recordings"), names.map(([name, kind]) => [text(`recordings.${name}`), kind]), told.files.map(file => [
    file.name, `${number(file.bytes / 1e6, 1)} MB`, new Date(file.changed).toLocaleString(language),
    file.replays.length ? number(file.replays.length, 0) : make("code", `inframe replay --keep ${file.name}`), file.is_sealed ? text("recordings.sealed") : opener(file.name),
  ]));
}

function opener(name) {
  const button = make("button", text("recordings.open"), { type: "button", "data-reel": name, "aria-label": text("recordings.open.of", { name }) });
  button.addEventListener("click", () => show(name));
  return button;
}

async function show(name) {
  by("recordings-said").textContent = text("reel.opening");
  try { open = await get(`/api/recording?name=${encodeURIComponent(name)}`); } catch (refused) { by("recordings-said").textContent = refused.message; return; }
  by("recordings-said").textContent = "";
  by("reel").hidden = false;
  by("reel-title").textContent = name;
  by("reel-at").max = Math.floor(open.length_ms * open.fps / 1000);
  by("reel-at").value = 0;
  const models = Object.entries(open.models).map(([model, digest]) => `${model} ${digest}…`).join(", ");
  pairs(by("reel-about"), [[text("reel.device"), open.device], [text("reel.began"), new Date(open.start_ns / 1e6).toLocaleString(language)], [text("reel.frames"), number(open.frames, 0)], [text("reel.models"), models]]);
  by("reel-marks").replaceChildren(make("option", text("reel.mark.choose"), { value: "" }), ...open.marks.filter(mark => mark.began).map(mark => make("option", `${clock(mark.at_ms)}  ${called(mark)}`, { value: mark.at_ms })));
  by("reel-replay").replaceChildren(make("option", text("none"), { value: "" }), ...(replays[name] ?? []).map(one => make("option", one, { value: one })));
  by("reel-replay").value = replays[name]?.at(-1) ?? "";
  move();
  by("reel").scrollIntoView({ block: "nearest" });
  by("reel-at").focus();
}

// The slider counts frames of the declared rate; the middle of one, ms, so that no rounding makes it its neighbour.
function place() { return (Number(by("reel-at").value) + 0.5) * 1000 / open.fps; }

// One question at a time; the newest place is the one that counts.
async function move() {
  by("reel-time").textContent = clock(place());
  by("reel-at").setAttribute("aria-valuetext", by("reel-time").textContent);
  if (asking) { again = true; return; }
  asking = true;
  do {
    again = false;
    const wanted = new URLSearchParams({ name: open.name, at_ms: place(), overlay: by("reel-overlay").checked });
    if (by("reel-replay").value) wanted.set("replay", by("reel-replay").value);
    try {
      const told = await get(`/api/recording/moment?${wanted}`);
      by("reel-said").textContent = text("reel.frame", { n: told.frame, at: clock(told.at_ms) });
      for (const side of SIDES) await draw(side, told[side], told[side === "recorded" ? "replayed" : "recorded"]);
      by("reel").dataset.frame = told.frame;
    } catch (refused) { by("reel-said").textContent = refused.message; }
  } while (again);
  asking = false;
}

async function draw(side, told, other) {
  const figure = by(`reel-${side}`);
  figure.hidden = !told;
  by("reel-sides").classList.toggle("two", side === "replayed" && Boolean(told));
  if (!told) return;
  const image = await createImageBitmap(await (await fetched(told.picture)));
  const canvas = figure.querySelector("canvas");
  [canvas.width, canvas.height] = [image.width, image.height];
  canvas.getContext("2d", { alpha: false }).drawImage(image, 0, 0);
  image.close();
  const own = said(told), others = other ? said(other) : own;
  pairs(figure.querySelector("dl"), own.map(([key, value], at) => [text(`reel.${key}`), value === others[at][1] ? value : make("b", text("reel.differs", { value }), { class: "differs" })]));
}

function fetched(base64) {
  const bytes = Uint8Array.from(atob(base64), letter => letter.charCodeAt(0));
  return new Blob([bytes], { type: "image/jpeg" });
}

function said(told) {
  if (!told.is_decided) return [["verdict", text("reel.undecided")]];
  const findings = told.findings.map(one => `${one.rule} ${number(one.value, 3)}`).sort().join(", ");
  const alerts = Object.entries(told.alerts).sort().map(([key, presence]) => `${called({ key })} (${text(`presence.${presence.toLowerCase()}`)})`).join(", ");
  return [["verdict", `${told.verdict}, ${text(`mode.${told.mode}`)}`], ["age", `${number(told.age_ms, 0)} ms`], ["findings", findings || text("none")], ["alerts", alerts || text("none")]];
}

function clock(ms) {
  const seconds = Math.floor(ms / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}.${String(Math.floor(ms % 1000)).padStart(3, "0")}`;
}

function step(frames) {
  by("reel-at").value = Number(by("reel-at").value) + frames;
  move();
}

export function begin() {
  by("reel-at").addEventListener("input", move);
  for (const id of ["reel-overlay", "reel-replay"]) by(id).addEventListener("change", move);
  by("reel-before").addEventListener("click", () => step(-1));
  by("reel-after").addEventListener("click", () => step(1));
  by("reel-marks").addEventListener("change", () => {
    if (by("reel-marks").value) { by("reel-at").value = Math.floor(Number(by("reel-marks").value) * open.fps / 1000); move(); }
    by("reel-marks").value = "";
  });
}
