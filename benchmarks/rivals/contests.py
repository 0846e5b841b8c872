"""Who runs against whom: every contest a list of sides, every side a command that prints one JSON object as its last
line. The first side is ours; ratios are of the others over it."""

from __future__ import annotations

from typing import NamedTuple

import convolutions
from convolutions import CONVOLUTIONS
from training import HALF, PRODUCTS, SETTINGS, WIDTH, Setting

SHORT, EPOCHS = 60, 300
"""Of digits: as many as people try it with first, and as many as a default run may take."""

PEAKS = (PRODUCTS, CONVOLUTIONS)
"""Sides that train nothing: they measure what the machine can do at all."""


class Side(NamedTuple):
    """``command``: a script of this folder and its arguments; ``threads``: what every library is told to use, None to
    leave each its own default."""

    name: str
    command: tuple[str, ...]
    threads: int | None


class Contest(NamedTuple):
    """``words``: what is done; ``passes``: how often each side runs in a full measurement; ``mnist``: it needs those
    files; ``epochs``: of one training."""

    name: str
    group: str
    words: str
    sides: tuple[Side, ...]
    passes: int
    mnist: bool
    epochs: int


GROUPS = {
    "training": "Training one model",
    "convolutions": "Training one network of convolutions",
    "seeds": "Six seeds on digits",
    "whole": "The whole, from process start to report",
}


def _training(name: str, setting: Setting, threads: int) -> Contest:
    who = ["latentbench", "Pythae", "bare loop"]
    who += [HALF] if setting.dataset == "mnist" else []
    who += [PRODUCTS] if setting.batch >= 1024 else []
    sides = tuple(Side(w, ("training.py", name, w, str(threads)), threads) for w in who)
    sizes = f"{64 if setting.dataset == 'digits' else 784}-{WIDTH}-{setting.latent_dim}"
    words = f"{sizes}, batch {setting.batch}, {setting.images:,} images, {setting.epochs} epochs"
    label = f"{name}, {threads} thread{'s' if threads > 1 else ''}"
    return Contest(label, "training", words, sides, 8, setting.dataset == "mnist", setting.epochs)


def _convolutions() -> Contest:
    sides = tuple(Side(who, ("convolutions.py", who, "1"), 1) for who in (*convolutions.SIDES, CONVOLUTIONS))
    words = (
        f"VAE of {convolutions.DEPTH} convolutions and their mirror, {convolutions.SIDE} x {convolutions.SIDE} x 3, batch "
        f"{convolutions.BATCH}, {convolutions.IMAGES:,} images, {convolutions.EPOCHS} epochs"
    )
    return Contest("convolutions, VAE, 1 thread", "convolutions", words, sides, 8, False, convolutions.EPOCHS)


def _seeds(model: str) -> Contest:
    def side(name: str, who: str, threads: int | None) -> Side:
        return Side(name, ("seeds.py", model, who, str(EPOCHS)), threads)

    sides = (side("latentbench", "latentbench", None), side("Pythae", "Pythae", 1))
    words = f"64-{WIDTH}-8, batch 64, {EPOCHS} epochs; ours in worker processes on all cores, Pythae's in turn"
    return Contest(f"6 seeds, {model.upper()}", "seeds", words, sides, 4, False, EPOCHS)


def _whole(epochs: int, own_threads: bool) -> Contest:
    def side(name: str, threads: int | None) -> Side:
        return Side(name, ("whole.py", name, str(epochs)), threads)

    name = f"the whole, {epochs} epochs" + (", its own threads" if own_threads else "")
    words = f"AE and VAE, 6 seeds, 64-{WIDTH}-8, batch 64, {epochs} epochs, no early stop"
    sides = [side("latentbench", None), side("hand-glued", None if own_threads else 1)]
    sides += [] if own_threads or epochs != EPOCHS else [side("latentbench, default", None)]
    return Contest(name, "whole", words, tuple(sides), 5, False, epochs)


CONTESTS = (
    *(_training(name, setting, 1) for name, setting in SETTINGS.items()),
    *(_training(name, setting, 2) for name, setting in SETTINGS.items() if setting.batch >= 1024),
    _convolutions(),
    _seeds("ae"),
    _seeds("vae"),
    *(_whole(epochs, own_threads) for epochs in (SHORT, EPOCHS) for own_threads in (False, True)),
)
