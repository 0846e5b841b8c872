"use strict";
(() => {
  // A link into a fold opens it; so does an address that ends in a place within one.
  const open = () => {
    const place = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!place) return;
    for (let fold = place.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
    place.scrollIntoView();
  };
  addEventListener("hashchange", open);
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.('a[href^="#"]');
    if (link && link.hash === location.hash) open();
  });
  open();

  // The name of a measure tells its definition to whoever points at it or reaches it by keyboard; Escape takes it away.
  const tip = document.createElement("div");
  tip.id = "definition-tip";
  tip.setAttribute("role", "tooltip");
  tip.hidden = true;
  document.body.append(tip);
  let shown = null, leaving = 0;
  const hide = () => { tip.hidden = true; shown?.removeAttribute("aria-describedby"); shown = null; };
  const show = (link) => {
    clearTimeout(leaving);
    if (link === shown) return;
    hide();
    const place = document.getElementById(decodeURIComponent(link.hash.slice(1)));
    const text = place && (place.dataset.whole || place.querySelector(".summary")?.textContent);
    if (!text) return;
    shown = link;
    tip.textContent = text;
    tip.hidden = false;
    link.setAttribute("aria-describedby", tip.id);
    const box = link.getBoundingClientRect(), below = box.bottom + tip.offsetHeight + 8 < innerHeight;
    tip.style.left = `${scrollX + Math.max(8, Math.min(box.left, document.documentElement.clientWidth - tip.offsetWidth - 8))}px`;
    tip.style.top = `${scrollY + (below ? box.bottom + 4 : box.top - tip.offsetHeight - 4)}px`;
  };
  const leave = () => { clearTimeout(leaving); leaving = setTimeout(hide, 150); };
  const link = (event) => event.target.closest?.('a[href^="#def-"]');
  for (const name of ["pointerover", "focusin"]) document.addEventListener(name, (event) => {
    if (link(event)) show(link(event));
    else if (event.target.closest?.("#definition-tip")) clearTimeout(leaving);
    else if (shown) leave();
  });
  addEventListener("focusout", leave);
  addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
})();
