"use strict";
// Brings the page up to date when the daemon says that something has changed.
(() => {
  const live = document.getElementById("live");
  const freshness = document.getElementById("freshness");
  if (!live || !live.dataset.live || !window.EventSource) return;

  const LEAST = 2000; // Milliseconds between two readings.
  const MOST = 30000; // Times on the page grow old though nothing changes.
  let last = Date.now();
  let due = 0;
  let paused = false;
  let source = null;

  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet";
  const word = document.createElement("span");
  word.className = "live";
  const says = (text, mood) => {
    word.textContent = text;
    word.dataset.mood = mood;
  };

  // Who is about to choose something is left alone.
  const isBusy = () => {
    const at = document.activeElement;
    return live.contains(at) && /^(INPUT|SELECT|TEXTAREA)$/.test(at.tagName);
  };

  const read = async () => {
    due = 0;
    if (paused || document.hidden) return;
    if (isBusy()) return later(LEAST);
    last = Date.now();
    let answer;
    try {
      answer = await fetch(location.href, {
        headers: { "x-alliance-idle": "1" },
        credentials: "same-origin",
        redirect: "error",
      });
    } catch {
      return; // The events say when the daemon is back.
    }
    if (answer.status === 401) return location.reload();
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById("live");
    if (!fresh || paused || isBusy()) return;
    const open = [...live.querySelectorAll("details")].map((one) => one.open);
    const at = live.contains(document.activeElement) ? document.activeElement : null;
    const link = at && at.getAttribute("href");
    live.replaceChildren(...fresh.childNodes);
    live.querySelectorAll("details").forEach((one, number) => (one.open = open[number] || false));
    if (link) {
      const same = [...live.querySelectorAll("a")].find((one) => one.getAttribute("href") === link);
      if (same) same.focus({ preventScroll: true });
    }
    const made = page.querySelector("#freshness time");
    const shown = freshness.querySelector("time");
    if (made && shown) shown.replaceWith(made);
  };

  const later = (wait) => {
    if (!due) due = setTimeout(read, wait);
  };
  const soon = () => later(Math.max(0, LEAST - (Date.now() - last)));

  const listen = () => {
    source = new EventSource("/events");
    source.onopen = () => says("live", "good");
    source.onerror = () => says("not live: no way to the daemon", "bad");
    source.addEventListener("changed", soon);
    source.addEventListener("over", () => location.reload());
  };
  const toggle = () => {
    paused = !paused;
    button.textContent = paused ? "Go on" : "Pause";
    if (paused) {
      source.close();
      says("paused", "off");
    } else {
      listen();
      soon();
    }
  };

  button.textContent = "Pause";
  button.addEventListener("click", toggle);
  freshness.append(" ", word, " ", button);
  says("connecting", "busy");
  listen();
  setInterval(() => {
    if (Date.now() - last >= MOST) soon();
  }, 5000);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) soon();
  });
})();
