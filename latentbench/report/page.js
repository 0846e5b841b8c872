"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  const texts = JSON.parse(document.body.dataset.texts);
  // What the sections' own scripts find here: the page's texts in its language, and the numbers of an array in base64.
  window.latentbench = {
    say: (name, places = {}) => texts[name].replace(/\{(\w+)\}/g, (_, key) => places[key]),
    unpack: (text, Kind) => new Kind(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer),
  };

  const bar = document.querySelector("nav.contents ul");
  const links = new Map([...bar.querySelectorAll("a")].map((a) => [a.hash.slice(1), a]));
  const parts = [...links.keys()].map((id) => document.getElementById(id)).filter(Boolean);
  let current = null;
  const follow = () => {
    const line = innerHeight * 0.3;
    const end = innerHeight + scrollY >= root.scrollHeight - 2;
    const now = end ? parts.at(-1) : parts.filter((p) => p.getBoundingClientRect().top <= line).at(-1) || parts[0];
    if (now === current) return;
    current = now;
    for (const [id, a] of links) {
      if (id === now.id) {
        a.setAttribute("aria-current", "true");
        bar.scrollLeft = a.offsetLeft - (bar.clientWidth - a.offsetWidth) / 2;
      } else a.removeAttribute("aria-current");
    }
  };
  addEventListener("scroll", follow, { passive: true });
  follow();
})();
