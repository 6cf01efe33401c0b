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
.frame { aspect-ratio: var(--aspect, 1); background-repeat: no-repeat; }
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
/* a clip that plays: the current frame, and a cursor over all rows */
.stage {
  display: grid; grid-template: "frame said" auto "frame bar" auto "frame methods" 1fr / clamp(112px, 38cqi, 300px) minmax(0, 1fr);
  gap: 0 16px; align-items: start;
}
.stage > .frame { grid-area: frame; border-radius: 6px; cursor: pointer; }
.stage > .said { grid-area: said; }
.stage > .bar { grid-area: bar; gap: 8px; }
.stage > .control { grid-area: methods; }
.toggles { display: flex; flex-wrap: wrap; gap: 4px; }
.play { min-width: 5.5em; background: var(--accent); border-color: var(--accent); color: var(--ground); font-weight: 600; }
.position { display: flex; align-items: center; gap: 12px; margin-top: 8px; }
.position > .number { white-space: nowrap; min-width: 6em; text-align: right; }
.axis-in-time { --label: 10rem; position: relative; touch-action: pan-y; user-select: none; -webkit-user-select: none; }
.axis-in-time .cells { cursor: pointer; }
.cursor {
  position: absolute; top: -4px; bottom: 0; width: 2px; margin-left: -1px; pointer-events: none;
  left: calc(var(--label) + (100% - var(--label)) * var(--at, 0)); background: var(--mark);
  box-shadow: 0 0 0 1px var(--ground); z-index: 2;
}
.mel > img { grid-area: 1 / 1; width: 100%; height: 64px; display: block; image-rendering: pixelated; }
:host([data-theme="dark"]) .mel > .light, :host(:not([data-theme="dark"])) .mel > .dark { display: none; }
.lanes { grid-auto-flow: row; gap: 2px; align-content: center; }
.lane {
  display: grid; grid-template-columns: repeat(var(--columns), minmax(0, 1fr)); grid-template-rows: 26px; align-items: end;
  background: linear-gradient(90deg, var(--ground) 1px, transparent 1px) -.5px 0 / calc(100% / var(--columns)) 100% var(--lane);
}
.bar-in-time { grid-row: 1; height: 100%; border-radius: 3px; container-type: inline-size; display: flex; align-items: center; min-width: 0; }
.bar-in-time > span {
  background: var(--ground); color: var(--ink); border-radius: 3px; margin-left: 4px; padding: 0 5px;
  max-width: calc(100% - 8px); font-size: .8em; line-height: 1.4; white-space: nowrap; overflow: hidden; text-overflow: ellipsis;
}
@container (max-width: 60px) { .bar-in-time > span { display: none; } }
.mark-in-time { grid-row: 1; align-self: center; text-align: center; line-height: 1; font-size: .9em; z-index: 1; }
.marks { display: block; height: 1.4em; font-size: .8em; }
.marks > span { position: absolute; color: var(--soft); }

@container (max-width: 560px) {
  .stage { grid-template: "frame bar" auto "said said" auto "methods methods" auto / 42cqi minmax(0, 1fr); gap: 10px; }
  .stage > .said { margin: 0; }
  .cursor { left: calc(100% * var(--at, 0)); }
  .row { display: block; }
  .row > .label { padding: 3px 0 0; }
  .cell { min-height: 24px; }
}

/* cards: frames with words that wrap */
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(76px, 1fr)); gap: 6px; margin: 4px 0 10px; }
.card { font-size: .8em; line-height: 1.25; overflow-wrap: anywhere; min-width: 0; }
.card .frame, .card .blank { outline: 1px solid var(--line); margin: 3px 3px 5px; }
.card .blank { aspect-ratio: 1; background: var(--lane); }
.card.agrees .frame, .card.agrees .blank { outline: 3px solid var(--good); }
.card.differs .frame, .card.differs .blank { outline: 3px dashed var(--bad); }
.card.own { max-width: 96px; }
.beside { display: grid; grid-template-columns: 96px minmax(0, 1fr); gap: 0 16px; }
.part { margin-top: 12px; }

/* distributions: a line of shares with a name before and a number after it */
.shares { display: grid; grid-template-columns: minmax(5.5rem, 10rem) minmax(0, 1fr) 4.6rem; gap: 2px 8px; align-items: center; font-size: .8em; line-height: 1.2; }
.shares .cells { gap: 0; }
.shares .cell { min-height: 15px; }
.shares .number { text-align: right; }
@container (max-width: 560px) {
  .beside { display: block; }
  .shares { grid-template-columns: 6.8rem minmax(0, 1fr) 3.8rem; gap: 2px 5px; }
}

/* tables */
table { border-collapse: collapse; width: 100%; font-size: .92em; }
th, td { padding: 3px 8px 3px 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); font-weight: 400; }
thead th { color: var(--soft); }
td.number, th.number { text-align: right; }

/* a clip that plays; a probability as a bar with its number */
.player { display: grid; grid-template-columns: minmax(0, 9rem) minmax(0, 1fr); gap: 10px; align-items: center; margin-bottom: 4px; }
.tested { margin: 8px 0 10px; }
.meter { display: grid; grid-template-columns: 7rem minmax(0, 1fr) 2.6em; gap: 6px; align-items: center; margin-top: 3px; font-size: .88em; }
.meter > .number { text-align: right; }
.track { position: relative; height: 16px; background: var(--lane); }
.fill { height: 100%; }
.level { position: absolute; top: -2px; bottom: -2px; width: 3px; margin-left: -1.5px; background: var(--mark); }
.good { color: var(--good); }
.bad { color: var(--bad); }

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

/* painting: cells, the tags on them, presets, changes of a figure */
.cell.paint { min-height: 40px; cursor: pointer; touch-action: pan-y; user-select: none; gap: 2px; box-shadow: inset 0 0 0 1px var(--soft); }
.cell.paint:focus-visible { outline-offset: -3px; z-index: 1; outline-color: var(--mark); }
.tag { background: var(--ground); color: var(--ink); padding: 0 4px; border-radius: 3px; line-height: 1.3; }
.presets { display: flex; flex-wrap: wrap; gap: 4px; }
.figure { height: 2.9em; } /* with the room for a change */
.change { display: block; font-size: .85em; line-height: 1.2; font-weight: 600; }
.change.up { color: var(--good); }
.change.down { color: var(--bad); }
.group > .row { margin-top: 8px; }
.group { padding-bottom: 8px; margin-bottom: 6px; border-bottom: 1px solid var(--line); }
.strip .cell { min-height: 11px; }
.tags { display: grid; gap: 1px; min-height: 1.5em; font-size: .78em; line-height: 1.5em; font-variant-numeric: tabular-nums; }
.tags > span { grid-row: 1; text-align: center; white-space: nowrap; overflow: visible; color: var(--soft); }
.tags > .match { color: var(--good); font-weight: 700; }
.below { margin-top: 14px; }
td.short { white-space: nowrap; }
@container (max-width: 560px) { .cell.paint { flex-direction: column; } }
details > summary { cursor: pointer; min-height: 36px; padding: 6px 0; }
`;
