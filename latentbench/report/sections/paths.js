// One slider a pair: it shows one frame of each film large, with the judge's word, and marks its place on every track.
(() => {
  for (const pair of document.querySelectorAll("#paths .pair")) {
    const range = pair.querySelector("input"), said = pair.querySelector("output"), of = Number(range.max);
    const films = [...pair.querySelectorAll(".large > div")].map((large) => {
      const path = large.closest(".path"), film = path.querySelector(`.film.${large.dataset.film}`);
      return { path, frames: Number(path.dataset.frames), canvas: large.querySelector("canvas"), word: large.querySelector("span"),
        strip: film.querySelector("img"), rulings: film.querySelectorAll(".ticks span") };
    });
    const show = () => {
      said.value = latentbench.say("path_frame", { n: range.value, of });
      const words = [];
      for (const { path, frames, canvas, word, strip, rulings } of films) {
        const t = Math.round(((range.value - 1) * (frames - 1)) / Math.max(1, of - 1));
        const wide = strip.naturalWidth / frames, high = strip.naturalHeight, ruling = rulings[t];
        path.style.setProperty("--at", t);
        canvas.width = wide;
        canvas.height = high;
        if (wide) canvas.getContext("2d").drawImage(strip, t * wide, 0, wide, high, 0, 0, wide, high);
        canvas.setAttribute("aria-label", ruling ? ruling.title : said.value);
        word.textContent = ruling ? ruling.dataset.word : "";
        word.className = ruling ? ruling.className : "";
        if (ruling) words.push(ruling.title);
      }
      range.setAttribute("aria-valuetext", [said.value, ...words].join("; "));
    };
    range.addEventListener("input", show);
    Promise.all(films.map((f) => f.strip.decode().catch(() => 0))).then(show);
  }
})();
