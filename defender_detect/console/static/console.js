"use strict";
// The live part and the pointer; everything else works without this file.

const SHOWN_AGAIN_AFTER = 3000; // milliseconds between two renewals of a page, however often something changes
const UNITS = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];

function show(value, unit) {
  const size = Math.abs(value);
  for (const [least, letter] of UNITS) {
    if (unit === "B" ? size >= least : size >= 10 * least) return `${Number((value / least).toPrecision(3))} ${letter}${unit === "B" ? "B" : ""}`;
  }
  const text = String(Number(value.toPrecision(4)));
  return unit === "B" ? `${Math.round(value)} B` : text + unit;
}

// The mark: one line through all that has the same time, and in each chart's label the value there.
function mark(timeline) {
  const line = timeline.querySelector(".mark"), scrub = timeline.querySelector(".scrub"), slider = scrub.querySelector("input");
  const moment = scrub.querySelector(".moment"), start = Number(timeline.dataset.start), end = Number(timeline.dataset.end);
  const charts = [...timeline.querySelectorAll("[data-readings]")].map((each) => ({
    output: each.querySelector("output"), last: each.querySelector("output").textContent,
    unit: each.closest("[data-unit]").dataset.unit, readings: JSON.parse(each.dataset.readings),
  }));
  const area = () => timeline.querySelector(".bars, .area, .ticks").getBoundingClientRect();
  function read(place) {
    const when = new Date((start + (end - start) * place / 1000) * 1000), box = area();
    moment.textContent = when.toLocaleString(undefined, {day: "numeric", month: "short", hour: "2-digit", minute: "2-digit"});
    line.style.left = `${box.left - timeline.getBoundingClientRect().left + box.width * place / 1000}px`;
    line.hidden = false;
    for (const {output, unit, readings} of charts) {
      let low = 0, high = readings.length - 1; // the last reading that is not later
      while (low < high) { const middle = (low + high + 1) >> 1; if (readings[middle][0] <= place) low = middle; else high = middle - 1; }
      output.textContent = readings.length && readings[low][0] <= place ? show(readings[low][1], unit) : "no value";
    }
  }
  function rest() {
    line.hidden = true; moment.textContent = "the end"; slider.value = 1000;
    for (const {output, last} of charts) output.textContent = last;
  }
  timeline.addEventListener("pointermove", (event) => {
    const box = area(), place = Math.round((event.clientX - box.left) / box.width * 1000);
    if (place < 0 || place > 1000) return;
    slider.value = place; read(place);
  });
  timeline.addEventListener("pointerleave", rest);
  slider.addEventListener("input", () => read(Number(slider.value)));
  scrub.hidden = false; rest();
}

// The fleet: which thing a square is, and a click on it.
function map(fleet) {
  const caption = document.getElementById("square"), usual = caption.textContent, columns = Number(fleet.dataset.columns);
  let waiting = 0, place = -1;
  const square = (event) => {
    const box = fleet.getBoundingClientRect(), size = box.width / columns;
    const found = Math.floor((event.clientY - box.top) / size) * columns + Math.floor((event.clientX - box.left) / size);
    return found < Number(fleet.dataset.number) ? found : -1;
  };
  const ask = async (which) => {
    const answer = await fetch(`/at?place=${which}&name=${encodeURIComponent(fleet.dataset.name)}`);
    return answer.ok ? answer.text() : "";
  };
  fleet.addEventListener("pointermove", (event) => {
    const which = square(event);
    if (which === place) return;
    place = which; clearTimeout(waiting);
    waiting = setTimeout(async () => { const name = which < 0 ? "" : await ask(which); if (which === place) caption.textContent = name || usual; }, 80);
  });
  fleet.addEventListener("pointerleave", () => { place = -1; clearTimeout(waiting); caption.textContent = usual; });
  fleet.addEventListener("click", async (event) => {
    const which = square(event), name = which < 0 ? "" : await ask(which);
    if (name) location.assign(`/things/${encodeURIComponent(name)}`);
  });
}

function prepare() {
  document.querySelectorAll(".timeline").forEach(mark);
  const fleet = document.getElementById("fleet");
  if (fleet) map(fleet);
}

// A page shows itself again when the store has changed, but not under the hands of who fills in a form or reads a mark.
function isInUse() {
  const main = document.getElementById("main"), focus = document.activeElement;
  return document.hidden || main.querySelector("details[open], .mark:not([hidden])") !== null ||
    (focus !== main && main.contains(focus) && focus.matches("input, select, textarea, button"));
}

function listen() {
  const badge = document.getElementById("live");
  let isDue = false, last = Date.now();
  const say = (text, isOff) => { badge.hidden = false; if (badge.textContent !== text) badge.textContent = text; badge.classList.toggle("off", isOff); };
  async function renew() {
    if (!isDue || isInUse() || Date.now() - last < SHOWN_AGAIN_AFTER) return;
    isDue = false; last = Date.now();
    try {
      const answer = await fetch(location.href);
      if (!answer.ok) return;
      const next = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (isInUse()) { isDue = true; return; }
      document.getElementById("main").replaceWith(next.getElementById("main"));
      document.querySelector("footer").replaceWith(next.querySelector("footer"));
      document.title = next.title;
      prepare();
    } catch { isDue = true; }
  }
  const source = new EventSource("/live");
  source.addEventListener("open", () => say("live", false));
  source.addEventListener("changed", () => { isDue = true; });
  source.addEventListener("error", () => say("not live", true));
  addEventListener("pagehide", () => source.close());
  setInterval(renew, 1000);
}

prepare();
if (document.getElementById("live")) listen();
