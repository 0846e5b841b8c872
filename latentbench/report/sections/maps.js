"use strict";
(() => {
  const { say } = latentbench;
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
