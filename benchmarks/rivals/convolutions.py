"""One training of a convolutional VAE, timed, in a process of its own: ``python convolutions.py WHO THREADS`` prints one JSON
object.

Who trains: ``latentbench`` (`latentbench.training.fit.fit`; ``latentbench, bfloat16``: the same with ``--precision bfloat16``),
``bare loop`` (what one writes by hand in float32) and ``bare loop, channels last`` (the same with weights and images in that
layout, which is one line more). Images are 64 x 64 x 3; four convolutions of 3 x 3 with stride 2 to 32, 64, 128 and 256
channels, a dense layer to 16 dimensions, and the mirror of it all. The loss is half the squared error, summed, plus the KL.
``convolutions`` trains nothing: it measures the rate of torch's own convolutions at these very shapes, forward and backward, each in
its better layout, and gives that of the layer that does best.
"""

from __future__ import annotations

import itertools
import json
import math
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial

import torch
from bare import loss_of
from torch import Tensor, nn
from torch.nn import functional as F
from training import HALF, LR, SEED, Precision, Trained, quality

SIDE, CHANNELS, DEPTH, LATENT = 64, (3, 32, 64, 128, 256), 4, 16
BATCH, IMAGES, HELD, EPOCHS = 128, 2048, 256, 2
CONVOLUTIONS = "convolutions"
LAST = "bare loop, channels last"


def images(count: int) -> Tensor:
    """Images (count, 3, 64, 64) of three soft discs each, of random place, width and colour, on grey."""
    draw = torch.Generator().manual_seed(count)
    place, width, colour = (torch.rand((count, 3, k), generator=draw) for k in (2, 1, 3))
    axis = torch.linspace(0, 1, SIDE)
    away = (axis[:, None] - place[..., :1, None]) ** 2 + (axis[None, :] - place[..., 1:, None]) ** 2
    disc = torch.exp(-away / (2 * (0.05 + 0.1 * width[..., None]) ** 2))
    return (0.2 + torch.einsum("ndhw,ndc->nchw", disc, colour - 0.2)).clamp(0, 1)


def flops(images: int, validated: int) -> int:
    """Operations in the products of a training: forward and backward, without the gradient of the images; of the validation
    forward only."""
    layers = [18 * a * b * (SIDE >> (k + 1)) ** 2 for k, (a, b) in enumerate(itertools.pairwise(CHANNELS))]
    flat = CHANNELS[-1] * (SIDE >> DEPTH) ** 2
    dense = 2 * flat * (2 * LATENT) + 2 * LATENT * flat
    forward = 2 * sum(layers) + dense
    return images * (3 * forward - layers[0]) + validated * forward


def begun() -> nn.Module:
    """The network before its training, the same for all sides."""
    from latentbench.catalog import build_model
    from latentbench.config import make_run
    from latentbench.training.fit import initialise

    text = "vae:sigma=1:net=conv"
    run = make_run({"models": text, "depth": DEPTH, "latent_dim": LATENT})
    return initialise(lambda: build_model(text, run, (3, SIDE, SIDE)), SEED)


def ours(train: Tensor, val: Tensor, epochs: int, precision: Precision = "float32") -> Callable[[], Trained]:
    from latentbench.training.fit import Plan, fit

    model = begun()

    def call() -> Trained:
        fit(model, train, val, Plan(epochs, 0, BATCH, LR, precision), SEED)
        return lambda x: tuple(model.encode(x)), model.decode  # type: ignore[operator, return-value]

    return call


def bare(train: Tensor, val: Tensor, epochs: int, last: bool = False) -> Callable[[], Trained]:
    torch.manual_seed(SEED)
    pairs = list(itertools.pairwise(CHANNELS))
    flat, small = CHANNELS[-1] * (SIDE >> DEPTH) ** 2, SIDE >> DEPTH
    down = [part for a, b in pairs for part in (nn.Conv2d(a, b, 3, 2, 1), nn.ReLU(inplace=True))]
    up = [part for a, b in pairs[::-1] for part in (nn.ReLU(inplace=True), nn.ConvTranspose2d(b, a, 3, 2, 1, 1))]
    encoder = nn.Sequential(*down, nn.Flatten(), nn.Linear(flat, 2 * LATENT))
    decoder = nn.Sequential(nn.Linear(LATENT, flat), nn.Unflatten(1, (CHANNELS[-1], small, small)), *up, nn.Sigmoid())
    with torch.no_grad():
        for weight, start in zip([*encoder.parameters(), *decoder.parameters()], begun().parameters(), strict=True):
            weight.copy_(start)
    if last:
        encoder, decoder = (net.to(memory_format=torch.channels_last) for net in (encoder, decoder))
        train, val = (x.contiguous(memory_format=torch.channels_last) for x in (train, val))
    optimiser = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=LR, fused=True)
    loss = loss_of(encoder, decoder, vae=True)

    def call() -> Trained:
        for _ in range(epochs):
            for index in torch.randperm(len(train)).split(BATCH):
                optimiser.zero_grad()
                loss(train[index]).backward()
                optimiser.step()
            with torch.no_grad():
                seen = float(loss(val))
            if not math.isfinite(seen):
                raise SystemExit("the bare loop diverged")
        return lambda x: encoder(x).chunk(2, dim=1), decoder

    return call


SIDES = {
    "latentbench": ours,
    "bare loop": bare,
    LAST: partial(bare, last=True),
    HALF: partial(ours, precision="bfloat16"),
}


def rate() -> dict[str, float]:
    """Operations a second, and a processor second, of the best of the network's eight convolutions, forward and backward."""
    found = []
    for k, (a, b) in enumerate(itertools.pairwise(CHANNELS)):
        large, small = SIDE >> k, SIDE >> (k + 1)
        work = 3 * 18 * a * b * small**2 * BATCH
        down, up = torch.rand(BATCH, a, large, large), torch.rand(BATCH, b, small, small)
        forward = partial(F.conv2d, stride=2, padding=1)
        back = partial(F.conv_transpose2d, stride=2, padding=1, output_padding=1)
        for call, x, weight in ((forward, down, torch.rand(b, a, 3, 3)), (back, up, torch.rand(b, a, 3, 3))):
            for layout in (torch.contiguous_format, torch.channels_last):
                found.append([work / s for s in _seconds(call, x, weight, layout)])
    wall, processor = (max(f) for f in zip(*found, strict=True))
    return {"flops_per_second": wall, "flops_per_cpu_second": processor}


def _seconds(
    call: Callable[..., Tensor], x: Tensor, weight: Tensor, layout: torch.memory_format
) -> tuple[float, float]:
    """Of one call forward and backward: the median by the clock, the mean of the processor."""
    x, weight = (t.contiguous(memory_format=layout).requires_grad_() for t in (x, weight))
    gradient = torch.ones_like(call(x, weight))
    times: list[float] = []
    start = time.process_time()
    while sum(times) < 0.3 or len(times) < 4:
        begun = time.perf_counter()
        torch.autograd.grad(call(x, weight), (x, weight), gradient)
        times.append(time.perf_counter() - begun)
    return statistics.median(times), (time.process_time() - start) / len(times)


def main(who: str, threads: int) -> None:
    torch.set_num_threads(threads)
    if who == CONVOLUTIONS:
        print(json.dumps(rate()))
        return
    train, val = images(IMAGES), images(HELD)
    SIDES[who](train[: 2 * BATCH], val, 1)()  # what happens only once in a process
    call = SIDES[who](train, val, EPOCHS)
    wall, cpu = time.perf_counter(), time.process_time()
    trained = call()
    out = {"seconds": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    work = flops(EPOCHS * IMAGES, EPOCHS * HELD)
    rates = {"flops_per_second": work / out["seconds"], "flops_per_cpu_second": work / out["cpu"]}
    print(json.dumps({**out, **rates, **quality(trained, val)}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
