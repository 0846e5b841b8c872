"use strict";
// Decoders in plain JavaScript, and the hands that move a code. What the parts of the data are: explorer.py.
(() => {
  const source = document.querySelector("script.explorer-data");
  if (!source) return;
  const { say, unpack } = latentbench;
  const section = document.getElementById("explorer");
  const find = (css, from = section) => from.querySelector(css);
  const all = (css, from = section) => [...from.querySelectorAll(css)];
  const data = JSON.parse(source.textContent);
  const FRAMES = 11, STEPS = 40, SLIDERS = 8, MOST = 32, REACH = 4;

  /* numbers */
  const matrix = ({ steps, scale, rows }) => {
    const whole = unpack(steps, Int16Array), scales = unpack(scale, Float32Array), wide = whole.length / rows;
    return scales.length ? Array.from(scales, (s, r) => Float64Array.from(whole.subarray(r * wide, (r + 1) * wide), (v) => v * s)) : [];
  };
  // erf to 1.2e-7 (Numerical Recipes, erfc by Chebyshev)
  const CHEBYSHEV = [0.17087277, -0.82215223, 1.48851587, -1.13520398, 0.27886807, -0.18628806, 0.09678418, 0.37409196, 1.00002368, -1.26551223];
  const erf = (x) => {
    const t = 1 / (1 + 0.5 * Math.abs(x));
    const rest = t * Math.exp(-x * x + CHEBYSHEV.reduce((sum, c) => sum * t + c, 0));
    return x >= 0 ? 1 - rest : rest - 1;
  };
  const sigmoid = (x) => 1 / (1 + Math.exp(-x));
  const FUNCTIONS = {
    identity: () => (x) => x,
    relu: () => (x) => (x > 0 ? x : 0),
    leaky_relu: (a) => (x) => (x > 0 ? x : a * x),
    elu: (a) => (x) => (x > 0 ? x : a * Math.expm1(x)),
    selu: () => (x) => 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * Math.expm1(x)),
    silu: () => (x) => x * sigmoid(x),
    gelu: () => (x) => 0.5 * x * (1 + erf(x * Math.SQRT1_2)),
    gelu_tanh: () => (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x))),
    tanh: () => Math.tanh,
    sigmoid: () => sigmoid,
    softplus: (a) => (x) => (a * x > 20 ? x : Math.log1p(Math.exp(a * x)) / a),
  };

  function makeDecoder(m) {
    const steps = unpack(m.weight, Int16Array), scale = unpack(m.scale, Float32Array), bias = unpack(m.bias, Float32Array);
    const layers = [];
    let at = 0, row = 0;
    m.activations.forEach(([name, parameter], k) => {
      const [i, o] = [m.sizes[k], m.sizes[k + 1]], weight = new Float32Array(i * o);
      for (let r = 0; r < o; r++) for (let c = 0; c < i; c++) weight[r * i + c] = steps[at + r * i + c] * scale[row + r];
      layers.push({ i, o, weight, bias: bias.subarray(row, row + o), f: FUNCTIONS[name](parameter) });
      at += i * o;
      row += o;
    });
    const [name, factor, shift] = m.output, last = FUNCTIONS[name](0);
    return (z) => {
      let h = Float64Array.from(z);
      for (const { i, o, weight, bias, f } of layers) {
        const next = new Float64Array(o);
        for (let r = 0, w = 0; r < o; r++) {
          let sum = bias[r];
          for (let c = 0; c < i; c++) sum += weight[w++] * h[c];
          next[r] = f(sum);
        }
        h = next;
      }
      return h.map((x) => factor * last(x) + shift);
    };
  }

  // The same normal numbers for every model: the seed is the number of the draw.
  function noiseOf(seed) {
    let a = (seed * 0x9e3779b9) >>> 0;
    const uniform = () => {
      a = (a + 0x6d2b79f5) >>> 0;
      let t = Math.imul(a ^ (a >>> 15), 1 | a);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
    const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
    return { uniform, normal };
  }
  function drawn(m, sampler, seed) {
    const { uniform, normal } = noiseOf(seed);
    const pick = uniform();
    if (sampler === "normal") return m.mean.map(normal);
    const { weight, mean, root, full } = m.samplers[sampler];
    let k = 0;
    for (let sum = weight[0]; k < weight.length - 1 && pick >= sum; sum += weight[++k]);
    const d = m.mean.length, noise = Array.from({ length: full ? root[0].length : d }, normal);
    return Array.from(mean[k], (v, j) => v + (full ? root[k * d + j].reduce((s, r, n) => s + r * noise[n], 0) : root[k][j] * noise[j]));
  }

  const ready = new Map();
  /** What is computed of a model on its first use. */
  function live(m) {
    if (!ready.has(m)) {
      const codes = matrix(m.codes);
      for (const s of Object.values(m.samplers)) Object.assign(s, { mean: matrix(s.mean), root: matrix(s.root) });
      ready.set(m, {
        decode: makeDecoder(m),
        code: (k) => codes.map((row) => row[k]),
        originals: m.x ? matrix(m.x) : null,
        nearest: (z) => {
          let best = 0, least = Infinity;
          for (let k = 0; k < m.index.length; k++) {
            let sum = 0;
            for (let j = 0; j < z.length && sum < least; j++) sum += (z[j] - codes[j][k]) ** 2;
            if (sum < least) [least, best] = [sum, k];
          }
          return [best, Math.sqrt(least)];
        },
      });
    }
    return ready.get(m);
  }

  /* pictures */
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const sizeOf = (m) => (m.space === "image" ? [m.shape[2], m.shape[1]] : [96, 96]);
  const resized = (canvas, w, h) => {
    if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h });
    return canvas.getContext("2d");
  };
  const isChart = (m) => m.space && m.space !== "image";
  /** Draw decoded values into a box of w x h at (x, 0); of vectors the names of columns too, where there is room. */
  function paint(context, m, values, x, w, h, named) {
    const share = (v) => Math.min(1, Math.max(0, (v - m.low) / (m.high - m.low)));
    if (m.space === "image") {
      const [c] = m.shape, n = w * h, picture = context.createImageData(w, h);
      for (let p = 0; p < n; p++) {
        for (let k = 0; k < 3; k++) picture.data[4 * p + k] = Math.round(255 * share(values[c > 2 ? k * n + p : p]));
        picture.data[4 * p + 3] = 255;
      }
      context.putImageData(picture, x, 0);
      return;
    }
    context.save();
    context.translate(x, 0);
    context.clearRect(0, 0, w, h);
    const zero = m.low < 0 && m.high > 0 ? 0 : m.low;
    if (m.space === "vector") {
      const f = values.length, high = h / f, left = named && m.columns.length && f <= 24 ? 0.42 * w : 0, wide = w - left;
      for (let k = 0; k < f; k++) {
        const [a, b] = [left + share(zero) * wide, left + share(values[k]) * wide];
        context.fillStyle = colour(values[k] < zero ? "--m0" : "--m1");
        context.fillRect(Math.min(a, b), k * high, Math.max(1, Math.abs(b - a)), Math.max(1, high - (high > 4 ? 1 : 0)));
      }
      if (left) {
        context.fillStyle = colour("--ink");
        context.font = `${Math.min(24, high * 0.8)}px sans-serif`;
        context.textBaseline = "middle";
        m.columns.forEach((name, k) => context.fillText(name, 8, (k + 0.5) * high, left - 12));
      }
    } else {
      const [t, c] = m.shape;
      for (let k = 0; k < c; k++) {
        context.strokeStyle = colour(`--m${k % 8}`);
        context.lineWidth = Math.max(1, h / 96);
        context.beginPath();
        for (let s = 0; s < t; s++) context.lineTo((s / Math.max(1, t - 1)) * w, (1 - share(values[s * c + k])) * h);
        context.stroke();
      }
    }
    context.strokeStyle = colour("--strong");
    context.strokeRect(0.5, 0.5, w - 1, h - 1);
    context.restore();
  }
  function show(canvas, m, values, label) {
    const large = canvas.classList.contains("walk-large"), [w, h] = large && isChart(m) ? [640, 472] : sizeOf(m);
    paint(resized(canvas, w, h), m, values, 0, w, h, large);
    mark(canvas, "aria-label", label);
  }
  const sheets = new Map();
  /** Draw a tile of a sheet of pictures, now or when the sheet is there. */
  function tile(canvas, uri, [w, h], column, row) {
    if (!sheets.has(uri)) {
      const image = new Image();
      image.src = uri;
      sheets.set(uri, [image, image.decode()]);
    }
    const [image, decoded] = sheets.get(uri), wanted = `${column},${row}`;
    canvas.dataset.tile = wanted;
    const put = () => canvas.dataset.tile === wanted && resized(canvas, w, h).drawImage(image, column * w, row * h, w, h, 0, 0, w, h);
    if (image.complete && image.naturalWidth) put();
    else decoded.then(put, () => {});
  }

  /** Set a text or an attribute where it changes: each change costs a layout of the page. */
  const write = (element, text) => { if (element.textContent !== text) element.textContent = text; };
  const mark = (element, name, text) => { if (element.getAttribute(name) !== text) element.setAttribute(name, text); };

  /* what is chosen: the model, the code z, the two ends (places among the model's codes), how z came about */
  const now = { m: null, z: [], a: 0, b: 0, t: 0, how: "line", draws: 0, sampler: "" };
  const runOf = (m) => data.runs[m.run];
  const imageName = (m, k) => {
    const run = runOf(m), at = run.index.indexOf(m.index[k]);
    const name = at >= 0 && run.label.length ? run.classes[run.label[at]] : "";
    return name ? say("walk_named", { index: m.index[k], name }) : say("walk_image", { index: m.index[k] });
  };
  const signed = (v) => `${v < -0.004 ? "−" : v > 0.004 ? "+" : ""}${Math.abs(v).toFixed(2)}`;
  const heard = (text) => { find(".walk-heard").textContent = text; };

  let sliders = [];
  function makeSliders(m) {
    const boxes = all(".walk-sliders"), details = find(".walk-hand details"), step = m.weight ? 0.05 : null;
    const dims = m.weight ? m.order.slice(0, MOST) : m.dims;
    sliders = dims.map((dim) => {
      const label = document.createElement("label"), input = document.createElement("input");
      const [name, output, small] = ["span", "output", "small"].map((tag) => document.createElement(tag));
      const width = m.kl ? say("walk_kl", { value: m.kl[dim].toFixed(2) }) : say("walk_spread", { value: m.spread[dim].toPrecision(2) });
      name.textContent = say("walk_dimension", { n: dim + 1 });
      small.textContent = width;
      Object.assign(input, { type: "range", min: step ? -REACH : 0, max: step ? REACH : m.steps.length - 1, step: step || 1 });
      input.setAttribute("aria-label", `${name.textContent}, ${width}`);
      input.addEventListener("input", () => later(() => moved(dim, input)));
      label.append(name, input, output, small);
      return { dim, label, input, output };
    });
    boxes[0].replaceChildren(...sliders.slice(0, SLIDERS).map((s) => s.label));
    boxes[1].replaceChildren(...sliders.slice(SLIDERS).map((s) => s.label));
    details.hidden = sliders.length <= SLIDERS;
    find("summary", details).textContent = say("walk_more", { n: sliders.length - SLIDERS });
    const left = find(".walk-left", details);
    left.hidden = m.order.length <= MOST || !m.weight;
    left.textContent = say("walk_left", { n: m.order.length - MOST });
    const none = find(".walk-none");
    none.hidden = sliders.length > 0;
    none.textContent = say("walk_none");
  }
  /** Put the sliders where the code is, but for the one that is ``held`` by hand. */
  function setSliders(held) {
    const m = now.m;
    for (const { dim, input, output } of sliders) {
      const units = m.spread[dim] > 0 ? (now.z[dim] - m.mean[dim]) / m.spread[dim] : 0;
      const value = m.weight ? units : m.steps.reduce((best, s, k) => (Math.abs(s - units) < Math.abs(m.steps[best] - units) ? k : best), 0);
      if (input !== held) input.value = value;
      write(output, signed(units));
      mark(input, "aria-valuetext", say("walk_units", { value: signed(units) }));
    }
  }

  let waiting = 0, work = null;
  /** Once a frame, whatever was asked for last. */
  function later(what) {
    work = what;
    waiting ||= requestAnimationFrame(() => { waiting = 0; work(); });
  }
  function moved(dim, input) {
    const m = now.m, units = m.weight ? Number(input.value) : m.steps[input.value];
    now.z[dim] = m.mean[dim] + units * m.spread[dim];
    now.how = "hand";
    showPoint(input);
  }

  const described = () => {
    if (now.how === "mean") return say("walk_mean");
    if (now.how === "draw") return say("walk_draw", { n: now.draws, sampler: find(`[data-draw="${now.sampler}"]`).title });
    if (now.how === "hand") return say("walk_moved");
    if (now.t === 0) return imageName(now.m, now.a);
    return now.t === 1 ? imageName(now.m, now.b) : say("walk_between", { share: `${Math.round(100 * now.t)} %` });
  };
  function showPoint(held) {
    const m = now.m, large = find(".walk-large"), near = find(".walk-near");
    const what = say("walk_decoded", { what: m.weight ? described() : now.how === "mean" ? say("walk_mean") : say("walk_moved") });
    write(find(".walk-what"), what);
    setSliders(held);
    if (!m.weight) {
      write(near, "");
      const [x, y] = [0, 1].map((k) => (sliders[k] ? Number(sliders[k].input.value) : 0));
      tile(large, m.frames, m.tile, x, m.rows - 1 - y);
      mark(large, "aria-label", what);
      return;
    }
    const { decode, nearest } = live(m), [k, distance] = nearest(now.z);
    show(large, m, decode(now.z), what);
    const image = imageName(m, k);
    write(near, m.radius > 0 ? say("walk_near", { image, distance: (distance / m.radius).toFixed(2) }) : say("walk_nearest", { image }));
  }

  const between = (a, b, t) => Array.from(a, (v, j) => (1 - t) * v + t * b[j]);
  function showLine() {
    const m = now.m, { decode, code } = live(m), [a, b] = [code(now.a), code(now.b)];
    const path = Array.from({ length: STEPS + 1 }, (_, k) => decode(between(a, b, k / STEPS)));
    const [w, h] = sizeOf(m), [strip, fade] = all(".walk-strip"), every = STEPS / (FRAMES - 1);
    const places = { a: imageName(m, now.a), b: imageName(m, now.b) };
    for (const [canvas, value, label] of [
      [strip, (k) => path[k * every], "walk_line"],
      [fade, (k) => between(path[0], path[STEPS], k / (FRAMES - 1)), "walk_fade"],
    ]) {
      const context = resized(canvas, w * FRAMES, h);
      for (let k = 0; k < FRAMES; k++) paint(context, m, value(k), k * w, w, h, false);
      canvas.setAttribute("aria-label", say(label, places));
    }
    const steps = path.slice(1).map((x, k) => Math.sqrt(x.reduce((sum, v, p) => sum + (v - path[k][p]) ** 2, 0)));
    const even = steps.reduce((s, v) => s + v, 0) / STEPS, most = Math.max(...steps), svg = find(".walk-stretch");
    const text = even > 1e-9 ? say("walk_stretch", { n: STEPS, ratio: (most / even).toFixed(2) }) : say("walk_same");
    const top = Math.max(2, even > 1e-9 ? most / even : 2), tag = (name) => document.createElementNS("http://www.w3.org/2000/svg", name);
    svg.replaceChildren(...steps.map((s, k) => {
      const bar = tag("rect"), high = even > 1e-9 ? (36 * s) / even / top : 0;
      for (const [key, v] of Object.entries({ x: 10 * k + 1, width: 8, y: 36 - high, height: high })) bar.setAttribute(key, v);
      return bar;
    }), tag("line"));
    for (const [key, v] of Object.entries({ x1: 0, x2: 400, y1: 36 - 36 / top, y2: 36 - 36 / top })) svg.lastChild.setAttribute(key, v);
    svg.setAttribute("aria-label", text);
    find(".walk-pace").textContent = text;
    for (const end of ["a", "b"]) {
      const box = find(`.walk-end[data-end="${end}"]`), k = now[end], image = places[end], original = find(".walk-original", box);
      find(".walk-whose .walk-which", box).textContent = image;
      const input = find("input", box);
      Object.assign(input, { value: m.index[k], max: m.index.at(-1) });
      show(find(".walk-back", box), m, path[end === "a" ? 0 : STEPS], say("walk_back", { image }));
      const run = runOf(m), at = run.index.indexOf(m.index[k]), { originals } = live(m);
      if (originals) show(original, m, originals[k], say("walk_original", { image }));
      else if (at >= 0) tile(original, run.sheet, run.tile, at % run.columns, Math.floor(at / run.columns));
      original.setAttribute("aria-label", say("walk_original", { image }));
    }
  }

  function onLine(t) {
    const { code } = live(now.m);
    Object.assign(now, { t, how: "line", z: between(code(now.a), code(now.b), t) });
    find(".walk-t").value = t;
    find(".walk-t").setAttribute("aria-valuetext", described());
    showPoint();
  }
  /** Take the k-th code as an end and, for A, go there; B leaves the walker where it was on the line. */
  function choose(end, k) {
    now[end] = (k + now.m.index.length) % now.m.index.length;
    showLine();
    onLine(end === "a" ? 0 : 1);
    heard(`${end.toUpperCase()}: ${imageName(now.m, now[end])}`);
  }
  const closest = (m, index) => m.index.reduce((best, v, k) => (Math.abs(v - index) < Math.abs(m.index[best] - index) ? k : best), 0);
  function other(m, k) {
    const run = runOf(m), label = (i) => run.label?.[run.index.indexOf(m.index[i])];
    const found = m.index.findIndex((_, i) => i !== k && (label(i) === undefined || label(i) !== label(k)));
    return Math.max(0, found);
  }

  let walked = null;
  /** Show a model: the ends, the place on the line and the draw are those of the one before. */
  function enter(m) {
    const before = now.m;
    if (before?.weight) walked = before;
    now.m = m;
    for (const p of all(".walk-why")) p.hidden = Number(p.dataset.why) !== m.m;
    const line = find(".explorer .walk-line");
    if (line) line.hidden = !m.weight;
    find(".walk-bench").classList.toggle("chart", isChart(m));
    for (const b of all("[data-draw]")) b.hidden = !m.weight || !(b.dataset.draw === "normal" || m.samplers[b.dataset.draw]);
    makeSliders(m);
    if (!m.weight) {
      Object.assign(now, { z: [...m.mean], how: "mean" });
      return showPoint();
    }
    const kept = walked?.run === m.run;
    now.a = kept ? closest(m, walked.index[now.a]) : 0;
    now.b = kept ? closest(m, walked.index[now.b]) : other(m, now.a);
    showLine();
    if (before?.weight && now.how === "draw" && (now.sampler === "normal" || m.samplers[now.sampler])) draw(now.sampler, now.draws);
    else if (before?.weight && now.how === "mean") meanCode();
    else onLine(kept ? now.t : 0);
  }
  function draw(sampler, number) {
    live(now.m);
    Object.assign(now, { how: "draw", sampler, draws: number, z: drawn(now.m, sampler, number) });
    showPoint();
    heard(find(".walk-what").textContent);
  }
  function meanCode() {
    Object.assign(now, { how: "mean", z: [...now.m.mean] });
    showPoint();
    heard(find(".walk-what").textContent);
  }

  const radios = all("[name=explorer-model]");
  radios.forEach((radio, k) => radio.addEventListener("change", () => enter(data.models[k])));
  find("[data-mean]").addEventListener("click", meanCode);
  for (const b of all("[data-draw]")) b.addEventListener("click", () => draw(b.dataset.draw, now.draws + 1));
  find(".walk-t")?.addEventListener("input", (e) => later(() => onLine(Number(e.target.value))));
  for (const box of all(".walk-end")) {
    const end = box.dataset.end;
    for (const b of all("[data-turn]", box)) b.addEventListener("click", () => choose(end, now[end] + Number(b.dataset.turn)));
    find("input", box).addEventListener("change", (e) => choose(end, closest(now.m, Number(e.target.value))));
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    if (now.m && isChart(now.m)) { showLine(); showPoint(); }
  });

  function select(m) {
    if (now.m === m) return;
    radios[data.models.indexOf(m)].checked = true;
    enter(m);
  }
  const named = (model) => data.models.find((m) => m.label === model) || data.models.find((m) => m.model === model);
  /** Begin at a test image's code; for the maps. False where the model decodes nothing here or does not hold that image. */
  latentbench.explore = (model, index) => {
    const m = named(model), k = m?.weight ? m.index.indexOf(Number(index)) : -1;
    if (k < 0) return false;
    select(m);
    choose("a", k);
    return true;
  };
  /** What a model decodes a code to, as plain numbers; null where it decodes nothing here. */
  latentbench.decode = (model, z) => {
    const m = named(model);
    return m?.weight ? Array.from(live(m).decode(z)) : null;
  };

  const start = () => {
    if (!now.m) enter(data.models[Math.max(0, radios.findIndex((r) => r.checked))]);
    section.dataset.ready = "true";
  };
  (window.requestIdleCallback || setTimeout)(start);
})();
