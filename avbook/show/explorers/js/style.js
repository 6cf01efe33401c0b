// The style sheet of every explorer. It lies in a shadow root, so that it looks alike on the site,
// in JupyterLab and elsewhere.
export const STYLE = `
:host {
  --ground: #ffffff; --ink: #1b1d21; --soft: #555b64; --line: #c9cdd3; --lane: #eef0f3;
  --mark: #b3261e; --accent: #005a8c; --good: #00664a; --bad: #a33f00; --share: 0, 114, 178;
  --colour-0: #0072b2; --colour-1: #e69f00; --colour-2: #009e73; --colour-3: #d55e00;
  --colour-4: #cc79a7; --colour-5: #56b4e9; --colour-6: #f0e442; --colour-7: #000000;
  --label: 8.5rem;
  display: block; margin: 1rem 0; color-scheme: light;
}
:host([data-theme="dark"]) {
  --ground: #1c1f24; --ink: #e9ebee; --soft: #a9b0ba; --line: #454b54; --lane: #2a2e35;
  --mark: #ff8a80; --accent: #7cc4f0; --good: #4fd1a8; --bad: #ff9e5e; --share: 124, 196, 240;
  --colour-0: #3a9bd5; --colour-7: #e9ebee;
  color-scheme: dark;
}
* { box-sizing: border-box; }
[hidden] { display: none !important; }
.explorer {
  container-type: inline-size; background: var(--ground); color: var(--ink);
  border: 1px solid var(--line); border-radius: 8px; padding: 12px;
  font: 15px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
  text-align: left;
}
.title { margin: 0 0 4px; font-weight: 600; }
.plot { min-height: 1px; }
p { margin: 4px 0; }
small, .soft { color: var(--soft); font-size: .88em; }
strong { font-weight: 600; }
output, td, .number { font-variant-numeric: tabular-nums; }

/* controls */
.bar { display: flex; flex-wrap: wrap; align-items: end; gap: 8px 16px; margin-bottom: 10px; }
.control { display: flex; flex-direction: column; gap: 2px; min-width: 0; max-width: 100%; }
.control > span, .control > label { font-size: .88em; color: var(--soft); }
.wide { flex: 1 1 260px; }
button, select {
  font: inherit; color: var(--ink); background: var(--lane); border: 1px solid var(--soft);
  border-radius: 6px; padding: 5px 12px; min-height: 36px; max-width: 100%; cursor: pointer;
}
button:disabled { opacity: .55; cursor: default; }
button[aria-pressed="true"], [role="radio"][aria-checked="true"] {
  background: var(--accent); border-color: var(--accent); color: var(--ground); font-weight: 600;
}
input[type="range"] {
  width: 100%; min-width: 140px; height: 36px; margin: 0; accent-color: var(--accent); cursor: pointer;
}
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.said {
  margin: 0 0 10px; min-height: 1.45em; padding: 6px 10px; border-left: 3px solid var(--accent);
  background: var(--lane);
}

/* panels: beside each other where there is room */
.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 270px), 1fr)); gap: 16px; }
.panels > * { min-width: 0; }

/* rows in time: a label and T segments */
.rows { margin: 10px 0 4px; }
.row { display: grid; grid-template-columns: var(--label) minmax(0, 1fr); align-items: stretch; margin-top: 3px; }
.row > .label { padding: 3px 8px 3px 0; font-size: .88em; line-height: 1.25; overflow-wrap: anywhere; align-self: center; }
.cells { display: grid; grid-auto-flow: column; grid-auto-columns: minmax(0, 1fr); gap: 1px; position: relative; }
.cell {
  min-height: 26px; background-color: var(--lane); display: flex; align-items: center;
  justify-content: center; overflow: hidden; font-size: .8em; font-variant-numeric: tabular-nums;
}
.wrong { /* readable on every colour */
  background: var(--ground); color: var(--bad); padding: 0 4px; border-radius: 3px; font-weight: 700;
  font-size: 1.15em; line-height: 1.2;
}
.seconds .cell { background: none; min-height: 0; justify-content: start; color: var(--soft); }
.frame { aspect-ratio: 1; background-repeat: no-repeat; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 14px; margin: 6px 0 0; padding: 0; list-style: none; font-size: .88em; }
.swatch {
  display: inline-block; width: .9em; height: .9em; margin-right: .4em; vertical-align: -.08em;
  border: 1px solid var(--ink); border-radius: 2px;
}
.chosen { outline: 2.5px solid var(--mark); outline-offset: -2px; z-index: 1; }

/* a map of pairs: a row for each receiving segment */
.map { display: grid; grid-template-columns: 1.6em repeat(var(--columns), minmax(0, 1fr)); gap: 1px; }
.map > div { aspect-ratio: 1; display: flex; align-items: center; justify-content: center; font-size: .8em; overflow: hidden; }
.map > .axis { aspect-ratio: auto; color: var(--soft); }
.map > .pair { background-color: var(--lane); cursor: pointer; }
.map > .event { color: var(--ink); font-weight: 700; text-decoration: underline 2.5px var(--colour-1); text-underline-offset: 3px; }
@container (max-width: 560px) {
  .row { display: block; }
  .row > .label { padding: 3px 0 0; }
  .cell { min-height: 24px; }
}

/* tables */
table { border-collapse: collapse; width: 100%; font-size: .92em; }
th, td { padding: 3px 8px 3px 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); font-weight: 400; }
thead th { color: var(--soft); }
td.number, th.number { text-align: right; }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--ink); font: 12px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }

/* layers over a frame: attention, numbers, outlines of objects */
.maps { display: grid; grid-template-columns: repeat(3, minmax(0, 1fr)); gap: 12px; }
.over { position: relative; overflow: hidden; }
.over .frame { filter: grayscale(1); }
.over canvas, .over svg { position: absolute; inset: 0; width: 100%; height: 100%; }
.figure-number { font: 600 4.4px system-ui, sans-serif; fill: #fff; paint-order: stroke; stroke: #111; stroke-width: 1px; }
.halo, .sounding, .silent { fill: none; vector-effect: non-scaling-stroke; }
.halo { stroke: #000; stroke-width: 4px; stroke-opacity: .5; }
.sounding { stroke: #fff; stroke-width: 2px; }
.silent { stroke: #7fe3ff; stroke-width: 2px; stroke-dasharray: 5 4; }
.key { display: inline-block; width: 30px; height: 8px; margin-right: .4em; background: #777; vertical-align: 1px; }
.ramp { display: inline-block; width: 60px; height: .9em; margin-right: .4em; vertical-align: -.1em; background: linear-gradient(90deg, rgba(255, 92, 0, 0), rgba(255, 92, 0, .5) 45%, rgba(255, 92, 0, .85)), #777; }
.apart { margin-top: 14px; }
.below { margin-bottom: 10px; }
.wave { height: 30px; cursor: pointer; }
.wave svg { height: 100%; }
tr.now > * { font-weight: 600; background: var(--lane); }
@container (max-width: 480px) {
  .maps { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .maps > :last-child, .maps.large > * { grid-column: 1 / -1; max-width: 280px; width: 100%; }
}

@media (prefers-reduced-motion: no-preference) { .bars rect { transition: all .15s; } }
`;
