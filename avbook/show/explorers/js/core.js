// What all explorers share: how one starts, its controls, rows in time, frames.
import { STYLE } from "./style.js";

// Starts all explorers of a kind in the document: `build(frame, data)` fills the frame. Where it
// fails, or where scripts are off, the figure that the element holds stays in sight.
export function start(kind, build) {
  for (const host of document.querySelectorAll(`.avbook-explorer[data-kind="${kind}"]`)) {
    if (host.shadowRoot) continue;
    const data = JSON.parse(host.querySelector("script[type='application/json']").textContent);
    const frame = element("div", { className: "explorer", role: "group", "aria-label": data.title });
    const root = host.attachShadow({ mode: "open" });
    host.dataset.lmSuppressShortcuts = "true"; // JupyterLab's keys, such as arrows between cells
    followTheme(host);
    root.append(element("style", { textContent: STYLE }), frame);
    try {
      build(frame, data);
      host.dataset.started = "true";
    } catch (error) {
      root.replaceChildren(element("slot"));
      throw error;
    }
  }
}

// The theme of the page: Quarto's, JupyterLab's or VS Code's, else the system's.
function followTheme(host) {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const page = document.body;
  function isDark() {
    if (page.classList.contains("quarto-dark")) return true;
    if (page.classList.contains("quarto-light")) return false;
    if (page.dataset.jpThemeLight) return page.dataset.jpThemeLight === "false";
    if (page.dataset.vscodeThemeKind) return page.dataset.vscodeThemeKind !== "vscode-light";
    return system.matches;
  }
  const update = () => { host.dataset.theme = isDark() ? "dark" : "light"; };
  update();
  system.addEventListener("change", update);
  new MutationObserver(update).observe(page, {
    attributes: true, attributeFilter: ["class", "data-jp-theme-light", "data-vscode-theme-kind"],
  });
}

// An element with properties, attributes ("aria-…", "role", "data-…", "for") and content.
export function element(tag, properties = {}, ...content) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in node && !name.includes("-") && name !== "role") node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...content.filter((part) => part !== null));
  return node;
}

const SVG = "http://www.w3.org/2000/svg";
export function drawn(tag, attributes = {}, ...content) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...content);
  return node;
}

let made = 0;
export function newId(word) {
  made += 1;
  return `avbook-${word}-${made}`;
}

// ---------------------------------------------------------------------------------------- controls
// A slider with its label and value; `format` writes the value, `changed` is called with it.
export function slider({ label, min, max, step, value, format = String, changed }) {
  const id = newId("slider");
  const told = element("output", { htmlFor: id });
  const input = element("input", { type: "range", id, min, max, step, value });
  const tell = () => {
    told.textContent = format(Number(input.value));
    input.setAttribute("aria-valuetext", told.textContent);
  };
  input.addEventListener("input", () => { tell(); changed(Number(input.value)); });
  tell();
  const node = element("div", { className: "control wide" },
    element("label", { htmlFor: id }, `${label} `, told), input);
  return { node, set(to) { input.value = to; tell(); }, get value() { return Number(input.value); } };
}

// A list to choose from: `options` are texts, `changed` is called with the index.
export function choice({ label, options, value = 0, changed }) {
  const id = newId("choice");
  const list = element("select", { id }, ...options.map((text, index) =>
    element("option", { value: index, selected: index === value }, text)));
  list.addEventListener("change", () => changed(Number(list.value)));
  const node = element("div", { className: "control" }, element("label", { htmlFor: id }, label), list);
  return {
    node,
    get value() { return Number(list.value); },
    set(to) { list.value = to; },
    fill(texts, to = 0) {
      list.replaceChildren(...texts.map((text, index) =>
        element("option", { value: index, selected: index === to }, text)));
    },
  };
}

// Buttons of which one is chosen, such as two modes; arrow keys move between them.
export function radio({ label, options, value = 0, changed }) {
  const name = element("span", { id: newId("radio") }, label);
  const buttons = options.map((text, index) =>
    element("button", { type: "button", role: "radio" }, text));
  let chosen = value;
  function show(to) {
    chosen = to;
    buttons.forEach((button, index) => {
      button.setAttribute("aria-checked", index === to);
      button.tabIndex = index === to ? 0 : -1;
    });
  }
  function choose(to) {
    if (to === chosen) return;
    show(to);
    changed(to);
  }
  buttons.forEach((button, index) => {
    button.addEventListener("click", () => choose(index));
    button.addEventListener("keydown", (key) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[key.key];
      if (!step) return;
      key.preventDefault();
      choose((index + step + buttons.length) % buttons.length);
      buttons[chosen].focus();
    });
  });
  show(value);
  const group = element("div", { role: "radiogroup", "aria-labelledby": name.id }, ...buttons);
  group.style.cssText = "display: flex; flex-wrap: wrap; gap: 4px";
  const node = element("div", { className: "control" }, name, group);
  return { node, get value() { return chosen; }, set: show };
}

// A line that screen readers say when it changes.
export function announcement() {
  const node = element("p", { className: "said", role: "status" });
  return { node, say(text) { if (node.textContent !== text) node.textContent = text; } };
}

// ------------------------------------------------------------------------------------ rows in time
// Colours of categories in the order in which they are asked for; background has none.
export function palette(names) {
  const order = new Map();
  return {
    of(index) {
      if (index < 0 || index >= names.length) return "var(--lane)";
      if (!order.has(index)) order.set(index, order.size % 8);
      return `var(--colour-${order.get(index)})`;
    },
    legend() {
      return element("ul", { className: "legend" }, ...[...order.keys()].map((index) => {
        const swatch = element("span", { className: "swatch", "aria-hidden": "true" });
        swatch.style.background = this.of(index);
        return element("li", {}, swatch, names[index]);
      }));
    },
  };
}

// The runs of equal values: [{value, from, to}], `to` excluded.
export function runs(values) {
  const found = [];
  values.forEach((value, at) => {
    const last = found[found.length - 1];
    if (last && last.value === value) last.to = at + 1;
    else found.push({ value, from: at, to: at + 1 });
  });
  return found;
}

// A timeline in words, such as "background 0–3 s, Dog 3–7 s".
export function inWords(labels, names) {
  return runs(labels)
    .map(({ value, from, to }) => `${names[value] ?? "background"} ${from}–${to} s`)
    .join(", ");
}

// A row of class indices; with `truth`, segments that differ from it are marked.
export function labelRow({ name, labels, names, colours, truth = null }) {
  const cells = labels.map((label, at) => {
    const wrong = truth !== null && truth[at] !== label;
    const cell = element("div", { className: "cell" }, wrong ? element("span", { className: "wrong" }, "×") : null);
    cell.style.backgroundColor = colours.of(label);
    return cell;
  });
  const words = { role: "img", "aria-label": `${name}: ${inWords(labels, names)}` };
  return row(name, element("div", { className: "cells", ...words }, ...cells));
}

// A row with a label and anything beside it.
export function row(name, content, className = "row") {
  return element("div", { className }, element("div", { className: "label" }, name), content);
}

export function secondsRow(count) {
  const cells = Array.from({ length: count }, (_, at) => element("div", { className: "cell" }, String(at)));
  return row("second", element("div", { className: "cells", "aria-hidden": "true" }, ...cells), "row seconds");
}

// A heading inside an explorer: not one of the page's headings.
export function title(text) {
  return element("p", { className: "title" }, text);
}

// A plot that is drawn as wide as its place, so that its letters keep their size: `draw(width)`
// gives an SVG; `redraw` after a change.
export function plot(draw) {
  const node = element("div", { className: "plot" });
  let width = 0;
  const redraw = () => { if (width) node.replaceChildren(draw(width)); };
  new ResizeObserver(([{ contentRect }]) => {
    if (Math.round(contentRect.width) === width) return;
    width = Math.round(contentRect.width);
    redraw();
  }).observe(node);
  return { node, redraw };
}

// ------------------------------------------------------------------------------------------ frames
// One frame of a sheet {source, count, alt}: all frames of a clip beside each other in one image.
export function frameOf(sheet, index, alt = "") {
  const node = element("div", alt ? { className: "frame", role: "img", "aria-label": alt } : { className: "frame" });
  node.style.backgroundImage = `url("${sheet.source}")`;
  node.style.backgroundSize = `${100 * sheet.count}% 100%`;
  showFrame(node, sheet, index);
  return node;
}

export function showFrame(node, sheet, index) {
  node.style.backgroundPosition = `${sheet.count > 1 ? (100 * index) / (sheet.count - 1) : 0}% 0`;
}

// A row of `count` frames, evenly chosen from the sheet.
export function framesRow(name, sheet, count, alt) {
  const cells = Array.from({ length: count }, (_, at) =>
    frameOf(sheet, Math.floor(((at + 0.5) * sheet.count) / count)));
  return row(name, element("div", { className: "cells", role: "img", "aria-label": alt }, ...cells));
}
