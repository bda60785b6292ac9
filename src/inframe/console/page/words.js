// All that the page says, in the reader's language: strings/LANGUAGE.json, which have the same keys.
const words = {};
export let language = "en";

export const LANGUAGES = ["en", "de"];

export async function speak(wanted) {
  language = LANGUAGES.includes(wanted) ? wanted : "en";
  Object.assign(words, await (await fetch(`strings/${language}.json`)).json());
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = text(element.dataset.text);
  for (const element of document.querySelectorAll("[data-label]")) element.setAttribute("aria-label", text(element.dataset.label));
}

// text("key", {n: 3}) puts 3 where the string says {n}
export function text(key, values = {}) {
  return (words[key] ?? key).replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

export function has(key) { return key in words; }

export function number(value, digits = 1) {
  return value === null || value === undefined ? "–"
    : value.toLocaleString(language, { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

export function lasting(seconds) {
  return seconds < 90 ? text("seconds", { n: number(seconds, 0) }) : text("minutes", { n: number(seconds / 60, 0) });
}
