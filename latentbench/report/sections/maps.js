"use strict";
(() => {
  const { say, unpack } = latentbench;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const alive = [];

  const NUMBERS = ["error", "confidence", "kl"];
  const short = (v) => (v !== 0 && Math.abs(v) < 0.001 ? v.toExponential(1) : String(Number(v.toPrecision(3))));
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // The colour of a share in [0, 1]: on light paper much is dark, on dark paper light.
  const ramp = (scale, share) => {
    const place = Math.min(1, Math.max(0, dark.matches ? share : 1 - share)) * (scale.length - 1);
    const k = Math.min(scale.length - 2, Math.floor(place));
    const [a, b] = [scale[k], scale[k + 1]].map((c) => [1, 3, 5].map((i) => parseInt(c.slice(i, i + 2), 16)));
    return "#" + a.map((v, i) => Math.round(v + (b[i] - v) * (place - k)).toString(16).padStart(2, "0")).join("");
  };

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
    const cursor = doc.get_model_by_name("cursor");
    const shown = doc.get_model_by_name("shown");
    const columns = () => (points.data.get ? Object.fromEntries(points.data) : { ...points.data });
    const get = (name) => (points.data.get ? points.data.get(name) : points.data[name]);
    const parts = (name) => figures.map((f) => f.renderers.find((r) => r.name === name));
    const glyphs = (r) => [r.glyph, r.nonselection_glyph, r.selection_glyph].filter((g) => g && typeof g === "object");
    const classes = unpack(data.classes, Uint16Array);
    const index = Array.from(get("index"));
    const count = index.length;
    const called = (k) => (data.names.length ? data.names[classes[k]] : "");
    const values = data.values.map((of) => Object.fromEntries(
      Object.entries(of).map(([name, text]) => [name, unpack(text, NUMBERS.includes(name) ? Float32Array : Uint16Array)])));
    const home = figures.map((f) => [f.x_range.start, f.x_range.end, f.y_range.start, f.y_range.end]);

    // Columns that are made of what the page holds anyhow.
    const made = columns();
    made.name = Array.from({ length: count }, (_, k) => called(k));
    made.plain = Array.from({ length: count }, (_, k) => data.palette[classes[k] % data.palette.length]);
    values.forEach((of, i) => {
      const size = (counts) => Float32Array.from(counts, (n) => (n ? Math.min(64, 8 + 2.2 * Math.sqrt(n)) : 0));
      if (of.draws) made["draws" + i] = size(of.draws);
      if (of.in_holes) made["lost" + i] = size(of.in_holes);
    });

    // Colour.
    const select = box.querySelector("select.colour");
    const scale = box.querySelector(".scale");
    const counted = {
      error: (value) => say("map_error", { value }),
      confidence: (value) => say("map_confidence", { value }),
      kl: (value) => say("map_kl", { value }),
    };
    const told = (i, name, k) => {
      const of = values[i][name];
      if (!of) return "";
      if (NUMBERS.includes(name)) return counted[name](short(of[k]));
      if (name === "valid") return of[k] ? say("map_valid") : say("map_refused");
      return of[k] ? say("map_copied") : say("map_own");
    };
    const paint = () => {
      const by = select ? select.value : "class";
      const next = Object.keys(made).length ? { ...columns(), ...made } : columns();
      const grey = css("--strong");
      const of = values.map((v) => v[by]);
      const all = of.filter(Boolean).flatMap((v) => Array.from(v)).sort((a, b) => a - b);
      const low = all[0];
      const high = by === "confidence" ? all.at(-1) : all[Math.floor(0.98 * (all.length - 1))];
      const yes = by === "copied" ? css("--refused") : css("--k0");
      const no = by === "copied" ? css("--strong") : css("--refused");
      figures.forEach((_, i) => {
        const v = of[i];
        next["colour" + i] = by === "class" ? made.plain
          : Array.from({ length: count }, (_, k) => !v ? grey
            : NUMBERS.includes(by) ? ramp(data.scale, (v[k] - low) / (high - low || 1)) : v[k] ? yes : no);
        next["told" + i] = Array.from({ length: count }, (_, k) => (by === "class" ? "" : told(i, by, k)));
      });
      points.data = next;
      parts("marks").forEach((r, i) => {
        for (const glyph of glyphs(r)) glyph.fill_color = { field: "colour" + i };
        const line = by === "class" ? { field: "colour" + i } : { value: css("--muted") };
        r.glyph.line_color = r.nonselection_glyph.line_color = line;
      });
      if (!scale) return;
      scale.hidden = by === "class";
      if (scale.hidden) return;
      const [bar, ends, list] = scale.children;
      const numbers = NUMBERS.includes(by);
      bar.hidden = !numbers;
      ends.replaceChildren();
      if (numbers) {
        bar.style.background = `linear-gradient(90deg, ${[0, 0.25, 0.5, 0.75, 1].map((s) => ramp(data.scale, s)).join()})`;
        const last = short(high);
        for (const text of [short(low), short((low + high) / 2), high < all.at(-1) ? say("map_at_most", { value: last }) : last]) {
          const end = document.createElement("span");
          end.textContent = text;
          ends.append(end);
        }
      } else {
        for (const [colour, text] of by === "valid" ? [[yes, say("map_valid")], [no, say("map_refused")]]
          : [[yes, say("map_copied")], [no, say("map_own")]]) {
          const end = document.createElement("span");
          const dot = document.createElement("i");
          dot.style.background = colour;
          end.append(dot, text);
          ends.append(end);
        }
      }
      list.replaceChildren(...data.labels.map((model, i) => {
        const item = document.createElement("li");
        const v = of[i];
        const sum = v ? v.reduce((a, b) => a + b, 0) : 0;
        item.textContent = !v ? say("map_unknown", { model })
          : numbers ? say("map_mean", { model, value: short(sum / count) })
          : say("map_counted", { model, n: sum, m: count }) + " " + (by === "valid" ? say("map_valid") : say("map_copied"));
        return item;
      }));
    };
    if (select) select.addEventListener("change", paint);

    const recolour = () => {
      for (const f of figures) {
        for (const label of f.center) {
          if (label.name === "names") label.text_color = dark.matches ? "#f2f4f6" : "#1d2127";
          if (label.name === "halos") label.text_color = label.text_outline_color = dark.matches ? "#14171b" : "#ffffff";
        }
      }
      for (const [name, colour] of [["draws", "--accent"], ["lost", "--refused"], ["here", "--ink"]]) {
        for (const r of parts(name)) {
          for (const glyph of glyphs(r)) glyph.line_color = { value: css(colour) };
        }
      }
      paint();
    };
    dark.addEventListener("change", recolour);
    recolour();

    // Classes: one alone, others with it, all again.
    const labels = figures.flatMap((f) => f.center.filter((l) => l.name === "names").map((l) => {
      const held = l.source.data.get ? Object.fromEntries(l.source.data) : l.source.data;
      return [l.source, Object.fromEntries(Object.entries(held).map(([name, values]) => [name, Array.from(values)]))];
    }));
    const buttons = [...box.querySelectorAll(".legend button")];
    const pressed = (b) => b.getAttribute("aria-pressed") === "true";
    for (const button of buttons) {
      button.addEventListener("click", (event) => {
        const every = buttons.every(pressed);
        if (every && !event.shiftKey) buttons.forEach((b) => b.setAttribute("aria-pressed", String(b === button)));
        else button.setAttribute("aria-pressed", String(!pressed(button)));
        if (!buttons.some(pressed)) buttons.forEach((b) => b.setAttribute("aria-pressed", "true"));
        const on = new Set(buttons.filter(pressed).map((b) => Number(b.dataset.class)));
        shown.indices = buttons.every(pressed) ? null : index.map((_, k) => k).filter((k) => on.has(classes[k]));
        for (const [source, whole] of labels) {
          const keep = whole.number.map((n, k) => (on.has(n) ? k : -1)).filter((k) => k >= 0);
          source.data = Object.fromEntries(Object.entries(whole).map(([name, held]) => [name, keep.map((k) => held[k])]));
        }
      });
    }
    const visible = (k) => shown.indices === null || shown.indices.includes(k);

    // The prior's draws.
    for (const check of box.querySelectorAll(".overlays input")) {
      check.addEventListener("change", () => {
        parts(check.value).forEach((r, i) => {
          // On a map that is the latent space itself draws have places, and a source, of their own.
          const placed = r.data_source !== points;
          const column = placed ? null : made[check.value + i];
          if (column) {
            for (const glyph of glyphs(r)) glyph.size = { field: check.value + i };
          }
          r.visible = check.checked && (placed || Boolean(column));
          if (r.visible && placed) widen(i, r.data_source);
        });
      });
    }
    const range = (i, [left, right, bottom, top]) => {
      const f = figures[i];
      f.x_range.setv({ start: left, end: right });
      f.y_range.setv({ start: bottom, end: top });
    };
    const widen = (i, source) => {
      const of = (name) => Array.from(source.data.get ? source.data.get(name) : source.data[name]);
      const [left, right, bottom, top] = home[i];
      const reach = (low, high, found) => Math.max((low + high) / 2 - Math.min(low, ...found), Math.max(high, ...found) - (low + high) / 2);
      const half = 1.03 * Math.max(reach(left, right, of("x")), reach(bottom, top, of("y")));
      const [x, y] = [(left + right) / 2, (bottom + top) / 2];
      range(i, [x - half, x + half, y - half, y + half]);
    };

    // What dragging does.
    const tools = [...box.querySelectorAll("[data-tool]")];
    const use = (kind, on) => {
      for (const f of figures) {
        for (const tool of f.toolbar.tools) if (tool.name === kind) tool.active = on;
      }
      const drags = ["box", "lasso", "pan"];
      for (const b of tools) {
        if (b.dataset.tool === kind) b.setAttribute("aria-pressed", String(on));
        else if (on && drags.includes(kind) && drags.includes(b.dataset.tool)) b.setAttribute("aria-pressed", "false");
      }
    };
    for (const button of tools) {
      button.addEventListener("click", () => {
        if (button.dataset.tool !== "reset") return use(button.dataset.tool, !pressed(button));
        figures.forEach((_, i) => range(i, home[i]));
        points.selected.indices = [];
        move(null);
      });
    }
    if (matchMedia("(pointer: fine)").matches) use("box", true);

    // Images that were chosen.
    const pinned = box.querySelector(".pinned");
    const list = pinned.querySelector("ul");
    const clear = pinned.querySelector("button");
    const line = pinned.querySelector(".told");
    const hint = line.textContent;
    const title = (k) => (called(k) ? say("map_image", { index: index[k], name: called(k) }) : say("map_unnamed", { index: index[k] }));
    const tell = (k) => [title(k), ...data.labels.map((model, i) => {
      const known = ["error", "valid", "confidence", "kl"].map((name) => told(i, name, k)).filter(Boolean);
      if (values[i].copied && values[i].copied[k]) known.push(say("map_copied"));
      if (values[i].draws) known.push(say("map_draws", { n: values[i].draws[k] }));
      return known.length ? say("map_of_model", { model, values: known.join(say("map_comma")) }) : "";
    }).filter(Boolean)].join(say("map_semicolon"));
    let here = null;
    let active = 0;
    const move = (k) => {
      here = k;
      cursor.data = Object.fromEntries(figures.flatMap((_, i) => ["x" + i, "y" + i]).map((name) => [name, k === null ? [] : [get(name)[k]]]));
    };
    const thumbnail = (k) => {
      const item = document.createElement("li");
      const image = document.createElement("span");
      image.setAttribute("role", "img");
      image.setAttribute("aria-label", title(k));
      image.style.cssText = `width:${data.tile[0]}px;height:${data.tile[1]}px;background-image:var(${data.sprite});` +
        `background-size:${data.sheet[0]}px ${data.sheet[1]}px;background-position:${get("px")[k]}% ${get("py")[k]}%`;
      const words = document.createElement("small");
      words.textContent = called(k) ? `${called(k)} · ${index[k]}` : index[k];
      item.append(image, words);
      return item;
    };
    let told_by = null;
    const show = () => {
      const chosen = [...points.selected.indices];
      list.replaceChildren(...chosen.slice(0, 24).map(thumbnail));
      line.textContent = chosen.length > 24 ? say("map_many", { n: chosen.length }) : chosen.length === 1 ? tell(chosen[0]) : chosen.length ? "" : hint;
      clear.hidden = chosen.length === 0;
      if (chosen.length === 1 && chosen[0] !== here) move(chosen[0]);
      if (told_by === null) {
        for (const other of alive) if (other.same === data.same && other.box !== box) other.choose(new Set(chosen.map((k) => index[k])));
        if (chosen.length === 1) latentbench.explore?.(data.labels[active], index[chosen[0]]);
      }
    };
    points.selected.properties.indices.change.connect(show);
    clear.addEventListener("click", () => { points.selected.indices = []; move(null); });
    alive.push({
      box, same: data.same,
      choose: (numbers) => {
        told_by = "another run";
        points.selected.indices = index.map((_, k) => k).filter((k) => numbers.has(index[k]));
        told_by = null;
      },
    });

    // By number, and by the keys.
    const find = box.querySelector("input.find");
    find.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || find.value === "") return;
      event.preventDefault();
      const k = index.indexOf(Number(find.value));
      if (k < 0) line.textContent = say("map_no_image", { index: find.value });
      else { move(k); points.selected.indices = [k]; }
    });
    const turns = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    const neighbour = (i, [tx, ty]) => {
      const [x, y] = [get("x" + i), get("y" + i)];
      let best = null;
      let least = Infinity;
      for (let k = 0; k < count; k++) {
        if (k === here || !visible(k)) continue;
        const [dx, dy] = [x[k] - x[here], y[k] - y[here]];
        const ahead = dx * tx + dy * ty;
        const aside = Math.abs(dx * ty) + Math.abs(dy * tx);
        if (ahead <= 0) continue;
        // Those within 45 degrees first, nearest of them; the rest only where there is none.
        const cost = Math.hypot(ahead, aside) * (aside <= ahead ? 1 : 1e3);
        if (cost < least) { least = cost; best = k; }
      }
      return best;
    };
    slots.forEach((slot, i) => {
      slot.addEventListener("pointerdown", () => { active = i; }, true);
      slot.addEventListener("keydown", (event) => {
        const turn = turns[event.key];
        if (turn) {
          const k = here === null ? index.findIndex((_, k) => visible(k)) : neighbour(i, turn);
          if (k !== null && k >= 0) { move(k); line.textContent = tell(k); }
        } else if ((event.key === "Enter" || event.key === " ") && here !== null) {
          active = i;
          points.selected.indices = [here];
        } else if (event.key === "Escape") {
          points.selected.indices = [];
          move(null);
        } else return;
        event.preventDefault();
        event.stopPropagation();
      });
    });
    box.dataset.ready = "true";
  }

  for (const box of document.querySelectorAll(".run-maps")) {
    bringToLife(box).catch((error) => {
      box.classList.remove("is-live");
      console.error(error);
    });
  }
})();
