"""What a VAE's training is made of, drawn: encoder, mu and sigma, a draw, decoder, the loss with the two halves of its KL, and
which of them each model of the ladder has."""

from __future__ import annotations

from markupsafe import Markup

from latentbench.report.drawing.svg import drawing, tag, text
from latentbench.report.wording.language import say

WIDTH, HEIGHT = 1080, 270


def loss() -> Markup:
    """The diagram; what it shows stands in its label too."""
    label = say(
        "How a VAE is trained: the encoder turns an image x into mu and sigma; z = mu + sigma times noise from N(0, I); the "
        "decoder turns z into an image. The loss is the error of that image plus beta times the KL, the sum of two halves: "
        "mu²/2 pays for means far from 0, (sigma² − 1 − ln sigma²)/2 for widths other than 1. An autoencoder has sigma = 0 and "
        "no KL; beta = 0 has no KL; kl=mean keeps the first half, kl=variance the second."
    )
    parts = [
        _marker(),
        _box(10, 62, 90, 56, "x", say("image")),
        _arrow("M100 90H148"),
        _box(150, 62, 120, 56, say("encoder"), "q(z|x)"),
        _arrow("M270 78L338 52"),
        _arrow("M270 102L338 128"),
        _box(340, 24, 110, 52, "mu", say("mean"), "half-mean"),
        _box(340, 104, 110, 52, "sigma", say("width"), "half-variance"),
        _arrow("M450 50L518 80"),
        _arrow("M450 130L518 100"),
        _box(520, 62, 180, 56, "z = mu + sigma · eps", "eps ~ N(0, I)"),
        _arrow("M700 90H748"),
        _box(750, 62, 120, 56, say("decoder"), "p(x|z)"),
        _arrow("M870 90H938"),
        _box(940, 62, 130, 56, "x̂", say("image again")),
        # the loss beneath: what each of them pays
        _arrow("M1005 118V198", "pays"),
        _arrow("M340 62H322V172H290V198", "pays half-mean"),
        _arrow("M450 140H600V198", "pays half-variance"),
        text(172, 227, say("loss = beta × KL") + " (", "term", "end"),
        _box(180, 200, 220, 44, say("mean half"), "mu² / 2", "half-mean"),
        text(420, 226, "+", "term", "middle"),
        _box(440, 200, 320, 44, say("variance half"), say("(sigma² − 1 − ln sigma²) / 2"), "half-variance"),
        text(774, 226, ")", "term"),
        text(820, 226, "+", "term", "middle"),
        _box(878, 200, 192, 44, say("error of x̂"), "(x − x̂)² / 2s²"),
        text(290, 262, say("kl=mean keeps this"), "tick", "middle"),
        text(600, 262, say("kl=variance keeps this"), "tick", "middle"),
        text(1070, 262, say("ae (sigma = 0) and beta=0: this alone"), "tick", "end"),
    ]
    return drawing(WIDTH, HEIGHT, *parts, label=label, class_="diagram")


def _marker() -> Markup:
    head = tag("path", d="M0 0L8 4L0 8z", class_="head")
    return tag("marker", head, id="arrow-head", viewBox="0 0 8 8", refX=7, refY=4, markerWidth=7, markerHeight=7,
               orient="auto-start-reverse")  # fmt: skip


def _box(x: float, y: float, width: float, height: float, above: str, below: str, class_: str = "") -> Markup:
    """A box with two lines of words in it."""
    middle = x + width / 2
    return Markup("").join([
        tag("rect", x=x, y=y, width=width, height=height, rx=5, class_=f"box {class_}".strip()),
        text(middle, y + height / 2 - 3, above, "name", "middle"),
        text(middle, y + height / 2 + 15, below, "tick", "middle"),
    ])  # fmt: skip


def _arrow(path: str, class_: str = "") -> Markup:
    return tag("path", d=path, class_=f"arrow {class_}".strip(), marker_end="url(#arrow-head)")
