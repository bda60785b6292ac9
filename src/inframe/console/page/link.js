// The way to the device: questions, orders, and the socket over which pictures and states come.
import { text } from "./words.js";

export const session = { name: null, role: null, csrf: null, is_logged_in: false, can_log_in: false };
const RANKS = { viewer: 1, operator: 2, service: 3 };

export function may(role) { return (RANKS[session.role] ?? 0) >= RANKS[role]; }

export class Refused extends Error {
  constructor(status, why) { super(why); this.status = status; }
}

async function answer(response) {
  const said = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refused(response.status, said.error ?? text("refused", { n: response.status }));
  return said;
}

export async function get(path) { return answer(await fetch(path)); }

export async function post(path, body = {}) {
  const headers = { "Content-Type": "application/json" };
  if (session.csrf) headers["X-CSRF"] = session.csrf;
  return answer(await fetch(path, { method: "POST", headers, body: JSON.stringify(body) }));
}

export function known(said) { Object.assign(session, said); }

const LOGGED_OUT = 4401, FIRST_MS = 30, LONGEST_MS = 500;

// Calls on.picture(kind, frame, jpeg), on.state(state), on.open(), on.lost(mustLogIn); comes back by itself until `close`.
export class Link {
  constructor(on) { this.on = on; this.wait = FIRST_MS; this.raw = false; this.width = 0; this.socket = null; this.wanted = false; }

  open() {
    this.wanted = true;
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/live?raw=${this.raw ? 1 : 0}&width=${this.width}`);
    this.socket = socket;
    socket.binaryType = "arraybuffer";
    socket.addEventListener("open", () => { this.wait = FIRST_MS; this.on.open(); });
    socket.addEventListener("message", event => {
      if (socket !== this.socket) return;
      if (typeof event.data === "string") { this.on.state(JSON.parse(event.data)); return; }
      const view = new DataView(event.data);
      this.on.picture(view.getUint8(0), Number(view.getBigInt64(8, true)), event.data.slice(24));
    });
    socket.addEventListener("close", event => {
      if (socket !== this.socket) return;
      this.socket = null;
      this.on.lost(event.code === LOGGED_OUT);
      if (this.wanted && event.code !== LOGGED_OUT) {
        setTimeout(() => { if (this.wanted && !this.socket) this.open(); }, this.wait);
        this.wait = Math.min(2 * this.wait, LONGEST_MS);
      }
    });
  }

  close() { this.wanted = false; const socket = this.socket; this.socket = null; socket?.close(); }

  // other pictures: the camera's too, or of another width
  ask(raw, width) {
    if (raw === this.raw && width === this.width) return;
    this.raw = raw;
    this.width = width;
    if (this.wanted) { this.close(); this.open(); }
  }
}
