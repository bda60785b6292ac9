// Drafts of this procedure, each sentence with its sources, and their signing.
import { by, make } from "./dom.js";
import { get, may, session } from "./link.js";
import { order } from "./operate.js";
import { text } from "./words.js";

let shown = null, isBegun = false;

export function open() {
  if (!isBegun) {
    isBegun = true;
    for (const kind of ["note", "handover"]) by(`draft-${kind}`).addEventListener("click", () => write(kind));
    by("draft-sign").addEventListener("click", sign);
  }
  rights();
}

function rights() { by("draft-sign").disabled = !shown || !may("operator") || !session.is_logged_in; }

async function write(kind) {
  shown = null;
  rights();
  by("draft").replaceChildren();
  by("draft-said").textContent = text("drafts.writing");
  try {
    const told = await get(`/api/draft?kind=${kind}`);
    by("draft").replaceChildren(...told.draft.sentences.map(sentence));
    by("draft-said").textContent = text(told.draft.origin === "model" ? "drafts.model" : "drafts.template");
    shown = told.sha256;
  } catch (refused) { by("draft-said").textContent = text("refused.why", { why: refused.message }); }
  rights();
}

function sentence(one) {
  return make("li", [make("span", `${one.text} `), ...one.cites.map(id => make("code", `${id} `, { class: "quiet" }))]);
}

async function sign() {
  if (!shown) return;
  const done = await order("/api/sign", { sha256: shown }, "drafts.signed");
  if (done) { by("draft-said").textContent = text("drafts.signed.by", { name: session.name }); shown = null; }
  rights();
}
