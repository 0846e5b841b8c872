"""At which rate, rising over which share of the epochs, and with which patience should digits be trained?

    python benchmarks/rates.py --work /tmp/rates       trains, writes docs/rates.json and docs/rates.md

Default runs that differ in ``--lr``, ``--lr-warmup`` and ``--patience`` alone, about a minute each on 2 cores; a run that is
there is not computed again. Every choice is compared with the slowest, paired by seed.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from widths import ROOT, falls_short, measured, number, row

MODELS = ("ae", "vae", "vae:beta=4", "wae")
CHOICES = {
    (lr, rise, patience): ["--lr", str(lr), "--lr-warmup", str(rise), "--patience", str(patience)]
    for lr, rise, patience in (
        (0.001, 0.0, 20), (0.001, 0.0, 8), (0.002, 0.0, 8), (0.002, 0.1, 20), (0.002, 0.1, 8), (0.002, 0.1, 4), (0.003, 0.1, 8),
    )
}  # fmt: skip
"""(rate, share of the epochs over which it rises, patience) -> the options that ask for it, the slowest first."""
DECIDING = ("r2", "validity.normal", "coverage")
BESIDE = ("active_units", "elbo", "hole", "train.epochs")
HEAD = """# The default training on digits

Written by `python benchmarks/rates.py`; the numbers behind it are in rates.json. Default runs (6 seeds) that differ in the
rate, the share of the planned 300 epochs over which it rises, and the patience alone; ± is half a 95 % interval. A training ends
when the validation loss has not fallen for so many epochs and the rate has then fallen to 0 over as many. The last column names
what falls short of the first row of the model, paired by seed, with an interval that leaves 0 out.

The default, 2e-3 with a rise and patience 8, is the choice of fewer epochs of which it names neither `ae` nor `vae`, the models
of a default run, with no dimension lost and 1,000 steps or more at every seed (fewer are called undertrained). A VAE with beta = 4
learns slowly: it gains from `--patience 20` at twice the epochs. Until December 2026 training was cut off at the full rate of
1e-3 after 20 epochs without improvement; ae, vae, vae:beta=4 and wae then took 158, 151, 216 and 176 epochs to R2 .843, .841,
.741, .845, valid shares of .008, .599, .736, .545 and coverages of .031, .716, .916, .644, none of them above today's by more
than chance.

An autoencoder's draws from N(0, I) and their coverage decide nothing: they are invalid anyhow, and a high rate without a rise
makes them less so by pulling its codes together. `elbo` (nats an image, higher is better) is that of the variance that a VAE's training left behind: a rate that falls at the
end fits the training images more closely than the others, and that variance with them.

"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True)
    work, first = parser.parse_args().work, next(iter(CHOICES))
    cells: dict[Any, Any] = {}
    for chosen, options in CHOICES.items():
        for cell in measured(work / "-".join(map(str, chosen)), "--models", ",".join(MODELS), *options):
            cells[chosen, cell.model, cell.metric] = cell
    rows, lines = [], []
    for model in MODELS:
        deciding = DECIDING if model != "ae" else DECIDING[:1]
        beside = [m for m in (*DECIDING, *BESIDE) if m not in deciding]
        for chosen in CHOICES:
            entry = row(cells, chosen, model, first, deciding, beside)
            rows.append({"model": model, **dict(zip(("lr", "lr_warmup", "patience"), chosen, strict=True)), **entry})
            told = [f"{n:g}" for n in chosen] + [number(entry, m) for m in (*DECIDING, *BESIDE)]
            lines.append(f"| {model} | {' | '.join(told)} | {', '.join(falls_short(entry, deciding)) or '-'} |")
    head = ("model", "rate", "rise", "patience", *DECIDING, *BESIDE, "below the first")
    table = ["| " + " | ".join(head) + " |", "| --- | " + "---: | " * (len(head) - 2) + "--- |", *lines]
    (ROOT / "docs" / "rates.json").write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
    (ROOT / "docs" / "rates.md").write_text(HEAD + "\n".join(table) + "\n", "utf-8")


if __name__ == "__main__":
    main()
