// Alerts and findings. Colours and flash rates are the device's own table (IEC 60601-1-8); all of one priority flash together.
import { by, make } from "./dom.js";
import { has, lasting, number, text } from "./words.js";

// What a rule says is in the device file; what the device says of itself is in the reader's language.
export function called({ key, text: said }) { return has(`event.${key}`) ? text(`event.${key}`) : said || key; }

export class Alerts {
  constructor(explain) { this.items = new Map(); this.priorities = {}; this.explain = explain; this.ticking = false; this.tick = this.tick.bind(this); }

  begin(priorities) { this.priorities = priorities; }

  show(state) {
    const seen = new Set();
    for (const alert of state.alerts) { seen.add(alert.key); this.one(alert); }
    for (const [key, item] of this.items) if (!seen.has(key)) { item.element.remove(); this.items.delete(key); }
    this.order(state.alerts);
    if (this.items.size && !this.ticking) requestAnimationFrame(this.tick);
    by("no-alerts").hidden = state.alerts.length > 0;
    this.findings(state.findings);
  }

  // only what is out of its place is moved: else a reader would be told anew ten times a second, and a button lose its focus
  order(alerts) {
    alerts.forEach((alert, at) => {
      const { element } = this.items.get(alert.key), there = by("alerts").children[at] ?? null;
      if (there !== element) by("alerts").insertBefore(element, there);
    });
  }

  one(alert) {
    let item = this.items.get(alert.key);
    if (!item) {
      const said = called(alert);
      const name = make("b", said);
      const about = make("small");
      const why = make("button", text("alerts.why"), { type: "button", "aria-label": text("alerts.why.of", { name: said }) });
      const element = make("li", [name, about, why], { class: "alert", "data-key": alert.key, "data-priority": alert.priority });
      item = { element, about, frame: alert.frame };
      why.addEventListener("click", () => this.explain(item.frame));
      const { paper, ink } = this.priorities[alert.priority] ?? {};
      element.style.setProperty("--paper", paper);
      element.style.setProperty("--on-paper", ink);
      this.items.set(alert.key, item);
    }
    item.priority = alert.priority;
    item.frame = alert.frame;
    item.flashes = alert.presence === "on" || alert.presence === "latched";
    item.element.dataset.presence = alert.presence;
    item.element.querySelector("button").hidden = !alert.frame;
    const about = `${text(`priority.${alert.priority}`)} · ${text(`presence.${alert.presence}`)} · ${lasting(alert.seconds)}`;
    if (item.about.textContent !== about) item.about.textContent = about;
  }

  // asks for another frame only while there is an alert
  tick(now) {
    this.ticking = this.items.size > 0;
    for (const { element, priority, flashes } of this.items.values()) {
      const { hz, lit } = this.priorities[priority] ?? { hz: 0, lit: 1 };
      const on = flashes && (hz === 0 ? lit > 0 : (now / 1000 * hz) % 1 < lit);
      if (element.classList.contains("lit") !== on) element.classList.toggle("lit", on);
    }
    if (this.ticking) requestAnimationFrame(this.tick);
  }

  findings(found) {
    by("no-findings").hidden = found.length > 0;
    by("findings").replaceChildren(...found.map(one => make("li", [
      make("b", one.text), make("div", `${number(one.value, 3)} · ${lasting(one.seconds)}`, { class: "quiet" }),
    ], { class: "finding" })));
  }
}
