"use strict";
(() => {
  const { clips, styles } = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const video = $("video"), chart = $("chart"), scroll = $("scroll");
  let clip, bars = [], plays = false; // plays: whether the browser can play the clip's file
  let clock = { at: 0, since: null }; // position if it cannot, advanced by this clock
  let zoom = 1, speed = 1, url = null, shown = -1;

  function make(tag, properties = {}, ...inside) {
    const node = Object.assign(document.createElement(tag), properties);
    node.append(...inside);
    return node;
  }
  function label(node, text) {
    node.setAttribute("aria-label", text);
    return node;
  }
  function readable(address) { // undecodable bytes: the address unchanged
    try { return decodeURI(address); } catch { return address; }
  }
  const seconds = (value) => `${value.toFixed(1)} s`;
  const span = (event) => `${event.onset}–${event.offset} s`;
  const told = (event) =>
    `${event.event}, ${event.modality}, ${event.onset} to ${event.offset} s, score ` +
    event.score.toFixed(2);

  // ------------------------------------------------------------------------- position
  function position() {
    if (plays) return Math.min(video.currentTime, clip.seconds);
    const on = clock.since === null ? 0 : (performance.now() - clock.since) / 1000;
    return Math.min(clock.at + on * speed, clip.seconds);
  }
  function playing() {
    return plays ? !video.paused && !video.ended : clock.since !== null;
  }
  function seek(to) {
    to = Math.max(0, Math.min(to, clip.seconds));
    if (plays) video.currentTime = Math.min(to, video.duration || to);
    else clock = { at: to, since: clock.since === null ? null : performance.now() };
    draw(to);
    follow();
  }
  function toggle() {
    if (plays) {
      if (video.paused || video.ended) {
        if (video.ended || video.currentTime > video.duration - 0.05) video.currentTime = 0;
        video.play().catch(() => {});
      } else video.pause();
    } else if (clock.since === null) {
      const at = position();
      clock = { at: at >= clip.seconds ? 0 : at, since: performance.now() };
      follow();
    } else {
      clock = { at: position(), since: null };
    }
    draw();
  }

  // ------------------------------------------------------------------------- drawing
  function draw(at = position()) {
    chart.style.setProperty("--position", at / clip.seconds);
    const on = bars.filter(({ event }) => event.onset <= at && at < event.offset);
    for (const bar of bars) bar.node.classList.toggle("now", on.includes(bar));
    $("time").textContent = `${at.toFixed(1)} / ${seconds(clip.seconds)}`;
    $("play").textContent = playing() ? "Pause" : "Play";
    const tenth = Math.round(at * 10);
    if (tenth === shown) return;
    shown = tenth;
    const names = on.map(({ event }) => `${event.event} (${event.modality} ${event.score.toFixed(2)})`);
    $("now").textContent = names.length ? `Now: ${names.join(", ")}` : "Now: no event";
    const slider = chart.querySelector("[role=slider]");
    slider.setAttribute("aria-valuenow", at.toFixed(1));
    slider.setAttribute("aria-valuetext", `${seconds(at)}. ${$("now").textContent}`);
    if (zoom > 1) keepInView(at);
  }
  function keepInView(at) {
    const track = chart.querySelector(".track");
    const x = track.offsetLeft + (track.offsetWidth * at) / clip.seconds - scroll.scrollLeft;
    if (x < track.offsetLeft || x > scroll.clientWidth - 20) {
      scroll.scrollLeft += x - track.offsetLeft - (scroll.clientWidth - track.offsetLeft) / 4;
    }
  }
  let waiting = false;
  function follow() { // the cursor, frame by frame, as long as it plays
    if (waiting || !playing()) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      if (!plays && position() >= clip.seconds) clock = { at: clip.seconds, since: null };
      draw();
      follow();
    });
  }

  function row(name, track) {
    const node = make("div", { className: "row" }, make("div", { className: "label" }, ...name), track);
    chart.append(node);
    return node;
  }
  function ruler() {
    const track = make("div", { className: "track ruler", tabIndex: 0 });
    track.setAttribute("role", "slider");
    track.setAttribute("aria-valuemin", "0");
    track.setAttribute("aria-valuemax", clip.seconds);
    label(track, "Position in seconds");
    const step = tick();
    for (let at = 0; at < clip.seconds; at += step) {
      const mark = make("span", { textContent: at });
      mark.style.left = `${(100 * at) / clip.seconds}%`;
      track.append(mark);
    }
    chart.style.setProperty("--lines", clip.seconds / step);
    row(["seconds"], track);
  }
  function tick() { // seconds between two marks, so that they have room
    const room = ((scroll.clientWidth || 800) * zoom) / clip.seconds;
    return [1, 2, 5, 10, 20, 30, 60, 120, 300, 600].find((step) => step * room >= 26) || 1200;
  }
  function picture(source, alt) {
    return make("img", { src: source, alt, draggable: false });
  }
  function media() {
    if (clip.frames.length) {
      const track = make("div", { className: "track frames" });
      for (const frame of clip.frames) track.append(picture(frame.source, `Frame at ${frame.time} s`));
      row(["frames"], track);
    }
    if (clip.mel) {
      const dark = make("source", { srcset: clip.mel.dark, media: "screen and (prefers-color-scheme: dark)" });
      const alt = "Log-mel spectrogram of the audio: time from left to right, low frequencies below";
      const image = make("picture", {}, dark, picture(clip.mel.light, alt));
      row(["audio", make("br"), make("small", { textContent: "log-mel, 125–7500 Hz" })],
        make("div", { className: "track mel" }, image));
    }
  }
  function fill(node, name) {
    const [colour, hatch] = styles[name];
    node.style.backgroundColor = `var(--colour-${colour})`;
    node.style.backgroundImage = `var(--hatch-${hatch})`;
    node.style.backgroundSize = `var(--hatch-size-${hatch}, auto)`;
    return node;
  }
  function bar(event) {
    const score = make("span", { textContent: event.score.toFixed(2) });
    const node = fill(make("button", { type: "button", className: "event" }, score), event.event);
    node.style.left = `${(100 * event.onset) / clip.seconds}%`;
    node.style.width = `${(100 * (event.offset - event.onset)) / clip.seconds}%`;
    node.title = told(event);
    node.addEventListener("click", () => seek(event.onset));
    bars.push({ node, event });
    return label(node, told(event));
  }
  function lanes() {
    const found = new Map();
    for (const event of clip.events) {
      const key = JSON.stringify([event.event, event.modality]);
      if (!found.has(key)) found.set(key, []);
      found.get(key).push(event);
    }
    const names = [...new Set(clip.events.map((event) => event.event))];
    const kinds = ["audio-visual", "audio", "visual"];
    for (const name of names) for (const kind of kinds) {
      const events = found.get(JSON.stringify([name, kind]));
      if (!events) continue;
      const swatch = fill(make("span", { className: "swatch" }), name);
      const track = make("div", { className: "track" }, ...events.map(bar));
      const node = row([swatch, name, " ", make("small", { textContent: kind })], track);
      node.setAttribute("role", "group");
      label(node, `${name}, ${kind}`);
    }
    if (!names.length) chart.append(make("p", { className: "empty", textContent: "No event was found." }));
  }
  function table() {
    const body = $("list").querySelector("tbody");
    body.replaceChildren(...clip.events.map((event) => {
      const jump = make("button", { type: "button", textContent: span(event) });
      jump.addEventListener("click", () => seek(event.onset));
      label(jump, `Jump to ${told(event)}`);
      const cells = [jump, event.event, event.modality, event.score.toFixed(2)];
      return make("tr", {}, ...cells.map((cell) => make("td", {}, cell)));
    }));
    $("list").querySelector("summary").textContent = `All events (${clip.events.length})`;
  }
  function redraw() {
    bars = [];
    shown = -1;
    chart.replaceChildren();
    chart.classList.toggle("zoomed", zoom > 1);
    chart.style.setProperty("--zoom", zoom);
    $("narrower").disabled = zoom <= 1;
    ruler();
    media();
    lanes();
    chart.append(make("div", { id: "cursor" }));
    draw();
  }

  // ------------------------------------------------------------------------- the file
  async function load(source) {
    plays = false;
    clock = { at: 0, since: null };
    video.pause();
    if (url) URL.revokeObjectURL(url);
    url = null;
    video.hidden = true;
    $("mute").hidden = true;
    say(source ? "" : "There is no video on this page, only the timeline.");
    if (!source) {
      video.removeAttribute("src");
      return;
    }
    const own = clip;
    let from = source;
    if (source.startsWith("data:")) { // all browsers seek in a blob, but not all in a data address
      try {
        const blob = await (await fetch(source)).blob();
        if (clip !== own) return;
        from = url = URL.createObjectURL(blob);
      } catch {
        from = source;
      }
    }
    video.src = from;
    label(video, clip.name);
  }
  function say(text) {
    $("message").textContent = text;
    $("message").hidden = !text;
  }
  video.addEventListener("loadedmetadata", () => {
    const at = position();
    plays = true;
    video.hidden = $("mute").hidden = false;
    video.classList.toggle("sound", !clip.picture);
    video.playbackRate = speed;
    if (at) video.currentTime = at;
    if (clip.picture && !video.videoWidth) {
      say("This browser plays the audio of this video, but cannot show its frames (codec).");
    } else say("");
    draw();
  });
  video.addEventListener("error", () => {
    if (!video.getAttribute("src") || !clip.source) return;
    const at = position();
    plays = false;
    clock = { at, since: null };
    video.hidden = $("mute").hidden = true;
    const remedy = "The timeline works without it. To play it here, convert it to H.264 and AAC (mp4).";
    say(clip.source.startsWith("data:")
      ? `This browser cannot play this video: it does not know its codec or format. ${remedy}`
      : `This browser cannot play ${readable(clip.source)}: the file does not exist, or its codec or format is unknown. ${remedy}`);
    draw();
  });
  for (const name of ["play", "playing", "seeked"]) video.addEventListener(name, () => { draw(); follow(); });
  for (const name of ["pause", "ended", "timeupdate"]) video.addEventListener(name, () => draw());
  video.addEventListener("click", toggle);

  // ------------------------------------------------------------------------- mouse and keys
  function at(pointer) {
    const box = chart.querySelector(".track").getBoundingClientRect();
    return (clip.seconds * (pointer.clientX - box.left)) / box.width;
  }
  let dragging = false;
  chart.addEventListener("pointerdown", (pointer) => {
    const track = pointer.target.closest(".track");
    if (pointer.button || !track || pointer.target.closest(".event")) return;
    dragging = true;
    seek(at(pointer));
  });
  addEventListener("pointermove", (pointer) => { if (dragging) seek(at(pointer)); });
  for (const name of ["pointerup", "pointercancel"]) addEventListener(name, () => { dragging = false; });

  const isBar = (node) => node.classList.contains("event");
  const takesSpace = (node) => node.matches("button, summary, select, a") && !isBar(node) && node !== $("play");
  addEventListener("keydown", (key) => {
    const target = key.target instanceof Element ? key.target : document.body;
    if (key.ctrlKey || key.metaKey || key.altKey || target.matches("select, input")) return;
    const step = key.shiftKey ? 0.1 : 1;
    const moves = { ArrowLeft: -step, ArrowRight: step, Home: -clip.seconds, End: clip.seconds };
    if (target.getAttribute("role") === "slider") {
      Object.assign(moves, { ArrowUp: step, ArrowDown: -step, PageUp: 10, PageDown: -10 });
    }
    if (key.key in moves) seek(position() + moves[key.key]);
    else if (key.key === " " && !takesSpace(target)) { if (!key.repeat) toggle(); }
    else return;
    key.preventDefault();
  });
  addEventListener("keyup", (key) => { // some browsers press a button on keyup of Space
    if (key.key === " " && key.target instanceof Element && (isBar(key.target) || key.target === $("play"))) {
      key.preventDefault();
    }
  });
  $("play").addEventListener("click", toggle);
  $("before").addEventListener("click", () => {
    const now = position() - 0.05;
    seek(Math.max(0, ...clip.events.map((event) => event.onset).filter((onset) => onset < now)));
  });
  $("after").addEventListener("click", () => {
    const now = position() + 0.05;
    seek(Math.min(clip.seconds, ...clip.events.map((event) => event.onset).filter((onset) => onset > now)));
  });
  $("mute").addEventListener("click", () => {
    video.muted = !video.muted;
    $("mute").setAttribute("aria-pressed", video.muted);
  });
  $("speed").addEventListener("change", () => {
    const now = position();
    speed = Number($("speed").value);
    video.playbackRate = speed;
    if (clock.since !== null) clock = { at: now, since: performance.now() };
  });
  let closed = false; // state of the list of events before printing
  addEventListener("beforeprint", () => { closed = !$("list").open; $("list").open = true; });
  addEventListener("afterprint", () => { if (closed) $("list").open = false; });
  const most = () => Math.max(8, clip.seconds / 5);
  const widen = (by) => { zoom = Math.max(1, Math.min(most(), zoom * by)); redraw(); keepInView(position()); };
  $("wider").addEventListener("click", () => widen(2));
  $("narrower").addEventListener("click", () => widen(0.5));
  let width = 0;
  new ResizeObserver(() => {
    if (scroll.clientWidth !== width) { width = scroll.clientWidth; redraw(); }
  }).observe(scroll);

  // ------------------------------------------------------------------------- list of clips
  function choose(number) {
    clip = clips[number];
    zoom = 1;
    document.title = $("name").textContent = clip.name;
    const events = `${clip.events.length} event${clip.events.length === 1 ? "" : "s"}`;
    $("facts").textContent = `${clip.seconds} s · ${clip.model} · ${events}`;
    $("notes").replaceChildren(...clip.notes.map((note) => make("li", { textContent: note })));
    for (const [other, button] of [...$("clips").querySelectorAll("button")].entries()) {
      if (other === number) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    }
    load(clip.source);
    redraw();
    table();
  }
  if (clips.length > 1) {
    $("clips").hidden = false;
    clips.forEach((other, number) => {
      const count = make("small", { textContent: `${other.events.length} events` });
      const button = make("button", { type: "button" }, other.name, " ", count);
      button.addEventListener("click", () => choose(number));
      $("clips").firstElementChild.append(make("li", {}, button));
    });
  }
  choose(0);
})();
