"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  const texts = JSON.parse(document.body.dataset.texts);
  const say = (name, places = {}) => texts[name].replace(/\{(\w+)\}/g, (_, key) => places[key]);

  for (const button of document.querySelectorAll("button.copy")) {
    button.addEventListener("click", async () => {
      const code = button.parentElement.querySelector("code");
      let done = false;
      try {
        await navigator.clipboard.writeText(code.textContent);
        done = true;
      } catch {
        const range = document.createRange();
        range.selectNodeContents(code);
        getSelection().removeAllRanges();
        getSelection().addRange(range);
        done = document.execCommand("copy");
      }
      button.textContent = say(done ? "copied" : "press");
      setTimeout(() => { button.textContent = say("copy"); }, 2000);
    });
  }

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

  const dark = matchMedia("(prefers-color-scheme: dark)");

  async function bringToLife(box) {
    const held = box.querySelector("script.map-data");
    if (!held || typeof Bokeh === "undefined") return;
    const data = JSON.parse(held.textContent);
    const slots = [...box.querySelectorAll(".live")];
    const id = "maps-" + box.dataset.maps;
    const roots = {};
    data.roots.forEach((r, i) => { slots[i].id = `${id}-${i}`; roots[r] = slots[i].id; });
    box.classList.add("is-live");
    const [views] = await Bokeh.embed.embed_items({ [id]: data.document }, [{ docid: id, roots, root_ids: data.roots }]);
    const doc = views.roots[0].model.document;
    const figures = doc.roots();
    const points = doc.get_model_by_name("points");

    const recolour = () => {
      for (const f of figures) {
        for (const label of f.center) {
          if (label.name === "names") label.text_color = dark.matches ? "#f2f4f6" : "#1d2127";
          if (label.name === "halos") label.text_color = label.text_outline_color = dark.matches ? "#14171b" : "#ffffff";
        }
      }
    };
    dark.addEventListener("change", recolour);
    recolour();

    for (const button of box.querySelectorAll(".legend button")) {
      button.addEventListener("click", () => {
        const on = button.getAttribute("aria-pressed") !== "true";
        button.setAttribute("aria-pressed", String(on));
        for (const f of figures) {
          for (const r of f.renderers.filter((r) => r.name === "class" + button.dataset.class)) r.visible = on;
        }
      });
    }

    const pinned = box.querySelector(".pinned");
    const list = pinned.querySelector("ul");
    const clear = pinned.querySelector("button");
    const show = () => {
      const chosen = points.selected.indices;
      const columns = points.data;
      const get = (name, i) => (columns.get ? columns.get(name) : columns[name])[i];
      list.replaceChildren(...chosen.slice(0, 24).map((i) => {
        const item = document.createElement("li");
        const image = document.createElement("span");
        image.setAttribute("role", "img");
        image.setAttribute("aria-label", say("image", { index: get("index", i), name: get("name", i) }));
        image.style.cssText = `width:${data.tile[0]}px;height:${data.tile[1]}px;background-image:var(${data.sprite});` +
          `background-size:${data.sheet[0]}px ${data.sheet[1]}px;background-position:${get("px", i)}% ${get("py", i)}%`;
        const words = document.createElement("small");
        words.textContent = `${get("name", i)} · ${get("index", i)}`;
        item.append(image, words);
        return item;
      }));
      const hint = pinned.querySelector(".hint");
      hint.hidden = chosen.length > 0 && chosen.length <= 24;
      hint.textContent = chosen.length > 24 ? say("many", { n: chosen.length }) : say("pinned");
      clear.hidden = chosen.length === 0;
    };
    points.selected.properties.indices.change.connect(show);
    clear.addEventListener("click", () => { points.selected.indices = []; });
    box.dataset.ready = "true";
  }

  for (const box of document.querySelectorAll(".run-maps")) {
    bringToLife(box).catch((error) => {
      box.classList.remove("is-live");
      console.error(error);
    });
  }
})();
