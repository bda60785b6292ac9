// Small pieces of a page, made without a line of HTML text: what comes from the device is never parsed.
export const by = id => document.getElementById(id);

export function make(tag, content = "", attributes = {}) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  if (Array.isArray(content)) element.append(...content);
  else if (content instanceof Node) element.append(content);
  else element.textContent = content;
  return element;
}

// columns: [heading, class]; rows: arrays of text or elements
export function fill(table, columns, rows, classes = []) {
  const head = make("thead", make("tr", columns.map(([heading, kind]) => make("th", heading, { scope: "col", class: kind }))));
  const body = make("tbody", rows.map((row, i) =>
    make("tr", row.map((cell, at) => make("td", cell ?? "–", { class: columns[at][1] })), { class: classes[i] })));
  table.replaceChildren(head, body);
}

export function pairs(list, entries) {
  list.replaceChildren(...entries.flatMap(([name, value]) => [make("dt", name), make("dd", value ?? "–")]));
}

// how much of a whole, as a picture; the number stands beside it
export function bar(share) {
  const space = "http://www.w3.org/2000/svg", picture = document.createElementNS(space, "svg"), box = document.createElementNS(space, "rect");
  picture.setAttribute("viewBox", "0 0 100 10");
  picture.setAttribute("preserveAspectRatio", "none");
  picture.setAttribute("aria-hidden", "true");
  for (const [name, value] of Object.entries({ width: Math.max(0.5, 100 * share), height: 10, fill: "#7fb2ff" })) box.setAttribute(name, value);
  picture.append(box);
  return picture;
}

let hush = 0;
export function say(what) {
  by("said").textContent = what;
  clearTimeout(hush);
  hush = setTimeout(() => { by("said").textContent = ""; }, 5000);
}
