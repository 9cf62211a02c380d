"use strict";
// Brings the page up to date when the daemon says that something has changed.
(() => {
  const live = document.getElementById("live");
  const freshness = document.getElementById("freshness");
  if (!live || !live.dataset.live || !window.EventSource) return;

  const LEAST = 2000; // Milliseconds between two readings.
  const MOST = 30000; // Times on the page grow old though nothing changes.
  const AGAIN = 30000; // Before it listens again where it was turned away.
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
    const same = at && (at.getAttribute("href") ? "a" : at.tagName);
    const alike = () => [...live.querySelectorAll(same)];
    const number = same ? alike().indexOf(at) : -1;
    const link = at && at.getAttribute("href");
    live.replaceChildren(...fresh.childNodes);
    live.querySelectorAll("details").forEach((one, number) => (one.open = open[number] || false));
    if (same) {
      const next = link ? alike().find((one) => one.getAttribute("href") === link) : alike()[number];
      if (next) next.focus({ preventScroll: true });
    }
    const made = page.querySelector("#freshness time");
    const shown = freshness.querySelector("time");
    if (made && shown) shown.replaceWith(made);
  };

  const later = (wait) => {
    if (!due) due = setTimeout(read, wait);
  };
  const soon = () => later(Math.max(0, LEAST - (Date.now() - last)));

  // Browsers have six connections to a place: a page that nobody sees leaves its own to others.
  const hush = () => {
    if (source) source.close();
    source = null;
  };
  const listen = () => {
    if (source || paused || document.hidden) return;
    const mine = new EventSource("/events");
    source = mine;
    mine.onopen = () => says("live", "good");
    mine.onerror = () => {
      says("not live: no way to the daemon", "bad");
      // Turned away for good, where browsers do not try again.
      if (mine.readyState !== EventSource.CLOSED || source !== mine) return;
      hush();
      setTimeout(listen, AGAIN);
    };
    mine.addEventListener("changed", soon);
    mine.addEventListener("over", () => location.reload());
  };
  const toggle = () => {
    paused = !paused;
    button.textContent = paused ? "Go on" : "Pause";
    if (paused) {
      hush();
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
    if (document.hidden) return hush();
    listen();
    soon();
  });
})();
