"""Exhibits: what the page shows, measured here and written as arrays; the report only draws.

Each role is a function from an Encoding to named arrays (and small details): ``data`` and ``map`` (held-out points and
their UMAP coordinates), ``points`` (what is known of each of them), ``strips`` (interpolations beside their cross-fades), ``samples`` (from each prior, judged),
``posterior`` (sigma and mu), ``reconstructions``, ``explorer`` (decoder and codes). Images are uint8, (k, h, w) or (k, h, w, 3). They reuse what the
metrics computed on the same Encoding, so a picture shows the very samples that were scored. What the arrays are called is
declared in `latentbench.artifact_schema`.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from latentbench.artifact_schema import SAMPLES, SCHEMA, STRIPS, ArtifactRole, check
from latentbench.core import CONTINUUM, DECODER, Dataset, Encoding, Undefined
from latentbench.geometry.neighbours import nearest
from latentbench.machine import uncollected
from latentbench.measuring.columns import columns as columns_of
from latentbench.measuring.explorer import explorer as walk_of
from latentbench.measuring.hole_atlas import atlas as holes_of
from latentbench.measuring.hole_atlas import plane as latent_plane
from latentbench.measuring.hole_atlas import spectrum
from latentbench.measuring.latent_cuts import cut, depth_of_draws
from latentbench.measuring.map_points import points as map_points
from latentbench.measuring.scoring import caught
from latentbench.metrics import decoded_continuity as continuity
from latentbench.metrics import divergence, posterior, representation
from latentbench.metrics.decoding import verdicts
from latentbench.metrics.samplers import SAMPLE_COUNT, prior_samples, samplers_of, trained_with
from latentbench.randomness import seeded
from latentbench.records import OWN, Record, file_digest

Arrays = dict[str, NDArray[Any]]

MAP_POINTS = 1000
FRAMES = 16
RECONSTRUCTIONS, MOST_RECONSTRUCTIONS, RECONSTRUCTION_BYTES = 16, 300, 1 << 17
"""Held-out images beside what comes back of them: the first ones, at least and at most so many, as many as these bytes hold.
The page shows those of least, middling and largest error among them."""
NEIGHBOURS = 15
UNLABELLED = "?"
"""What samples without a label are called beside the classes."""
PICTURES = frozenset({"worst", "grid", "draws", "nearest"})
"""Tensors of samples among those of the atlas, the plane, the columns and the explorer."""


def map_index(n: int) -> Tensor:
    """Which of ``n`` held-out images the maps show: all, or `MAP_POINTS` of them in a fixed random choice."""
    return torch.randperm(n, generator=seeded(0, "map points"))[:MAP_POINTS].sort().values


def data(dataset: Dataset) -> tuple[Arrays, dict[str, Any]]:
    """Thumbnails and labels of the points on the maps, and the spectrum of the training images."""
    index = map_index(len(dataset.test.x))
    arrays: Arrays = {"thumbs": dataset.space.pictures(dataset.test.x[index]), "index": index.numpy()}
    arrays["eigenvalues"] = spectrum(dataset.train.x)
    if dataset.test.y is not None:
        label, classes = dataset.test.y[index], list(dataset.classes)
        # On the maps those without a label are a class of their own.
        arrays["label"] = torch.where(label < 0, len(classes), label).numpy()
        return arrays, {"classes": classes + [UNLABELLED] * bool((label < 0).any())}
    return arrays, {"classes": list(dataset.classes)}


def latent_map(codes: Tensor, seed: int) -> tuple[Arrays, dict[str, Any]]:
    """UMAP coordinates (m, 2) of latent points (m, d), with the trustworthiness (k = 10) of the map.

    McInnes, Healy & Melville 2018, with exact neighbours, a PCA start and 200 epochs. For the eye only: no score is
    ever computed on these coordinates. A latent space of one or two dimensions is its own map, and so is a single point.
    """
    if not bool((codes != codes[:1]).any()):  # a collapsed latent is one point, of which UMAP makes no numbers
        codes = codes[:, :1]
    if codes.shape[1] <= 2:
        plane = torch.nn.functional.pad(codes.detach().cpu().float(), (0, 2 - codes.shape[1]))
        return {"xy": plane.numpy()}, {"trustworthiness": 1.0, "k": 10, "neighbours": 0, "n": len(plane)}
    os.environ.setdefault("NUMBA_NUM_THREADS", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with uncollected():
            import umap

        _cache_compiled(umap)
        points = codes.detach().cpu().double()
        k = min(NEIGHBOURS, len(points) - 1)
        neighbours = nearest(points, k=k - 1)
        itself = torch.arange(len(points))[:, None]
        knn = (
            torch.cat([itself, neighbours.indices], 1).numpy(),
            torch.cat([torch.zeros(len(points), 1), neighbours.distance.float()], 1).numpy(),
        )
        mapper = umap.UMAP(
            n_neighbors=k, precomputed_knn=knn, init="pca", n_epochs=200, n_jobs=1, random_state=seed, min_dist=0.1
        )
        xy = mapper.fit_transform(points.float().numpy())
    trust = representation.trustworthiness(points, torch.from_numpy(xy), 10)
    return {"xy": xy.astype(np.float32)}, {"trustworthiness": trust, "k": 10, "neighbours": k, "n": len(points)}


def _cache_compiled(umap: Any) -> None:
    """Keep numba's compiled code of umap's loops on disk: compiling them costs more than drawing the map."""
    for module in (umap.umap_, umap.layouts):
        for function in vars(module).values():
            if hasattr(function, "enable_caching"):
                try:
                    function.enable_caching()
                except Exception:
                    continue


def strips(e: Encoding) -> tuple[Arrays, dict[str, Any]]:
    """Decoded straight lines between two posterior means, and the pixel cross-fade of the same two decoded ends."""
    ends, frames = continuity.decoded_paths(e, frames=FRAMES, pairs=60)
    if e.labels is not None:
        known = (e.labels[ends] >= 0).all(1)
        if bool(known.any()):  # those whose classes can be named
            ends, frames = ends[known.to(ends.device)], frames[known.to(frames.device)]
        different = e.labels[ends[:, 0]] != e.labels[ends[:, 1]]
        order = (~different).int().argsort(stable=True)[:STRIPS]
        ends, frames = ends[order], frames[order]
    ends, frames = ends[:STRIPS], frames[:STRIPS]
    fade = continuity.cross_fade(frames)
    arrays: Arrays = {"frames": e.space.pictures(frames), "fade": e.space.pictures(fade)}
    for name, images in (("", frames), ("fade_", fade)):
        steps = (images[:, 1:] - images[:, :-1]).flatten(2).norm(dim=2)
        arrays[f"{name}steps"] = (steps / steps.sum(1, keepdim=True).clamp_min(1e-12)).cpu().numpy()
        if e.judge is not None:
            word = verdicts(e, images.flatten(0, 1))
            for field in ("valid", "label", "confidence"):
                key = f"{name or 'frame_'}{field}"
                arrays[key] = getattr(word, field).view(images.shape[:2]).cpu().numpy()
    arrays |= _named(e, ends)
    return arrays, {"frames": FRAMES}


def _named(e: Encoding, rows: Tensor) -> Arrays:
    """The classes of some images, where all of them have one."""
    found = None if e.labels is None else e.labels[rows.to(e.labels.device)]
    return {} if found is None or bool((found < 0).any()) else {"label": found.cpu().numpy()}


def samples(e: Encoding) -> tuple[Arrays, dict[str, Any]]:
    """Decoded draws of the model's own prior, where it has one, of N(0, I), of a Gaussian and of a mixture fitted to the
    training codes, each with its verdict."""
    arrays: Arrays = {}
    for sampler in samplers_of(e):
        images = e.once(prior_samples, sampler=sampler, count=SAMPLE_COUNT)[:SAMPLES]
        arrays[f"{sampler}_images"] = e.space.pictures(images)
        if e.judge is not None:
            word = verdicts(e, images)
            for field in ("valid", "label", "confidence", "distance"):
                arrays[f"{sampler}_{field}"] = getattr(word, field).cpu().numpy()
    if e.train is not None and CONTINUUM.met(e):
        for sampler in dict.fromkeys(("normal", trained_with(e))):
            with contextlib.suppress(Undefined):
                arrays[f"{sampler}_depth"] = depth_of_draws(e, sampler, SAMPLE_COUNT, SAMPLES).cpu().numpy()
    return arrays, {"count": SAMPLES}


def posteriors(e: Encoding) -> tuple[Arrays, dict[str, Any]]:
    """Where the posteriors lie and how wide they are, per dimension, and for some held-out images."""
    some = slice(0, 300)
    arrays = {
        "mu_mean": e.mu.mean(0),
        "mu_sd": e.mu.std(0),
        "active": posterior.active(e.mu, e.log_var),
        "mu": e.mu[some],
    }
    if e.log_var is not None:
        sigma = (0.5 * e.log_var).exp()
        arrays |= {"sigma": sigma[some], "sigma_mean": sigma.mean(0)}
        if e.prior is None:  # what follows holds for N(0, I)
            mean_part, variance_part = divergence.kl_parts(e.mu, e.log_var)
            arrays["kl"] = mean_part + variance_part
            arrays["variance_law"] = posterior.variance_sum(e.mu, e.log_var)
    return {k: v.cpu().numpy() for k, v in arrays.items()}, {}


def reconstructions(e: Encoding) -> tuple[Arrays, dict[str, Any]]:
    """Held-out images above what comes back, with the mean squared error of each."""
    if e.x_hat is None:
        raise Undefined(e.lack(DECODER))
    size = max(1, e.space.pictures(e.x[:1]).nbytes)
    count = min(len(e.x), MOST_RECONSTRUCTIONS, max(RECONSTRUCTIONS, RECONSTRUCTION_BYTES // size))
    x, x_hat = e.x[:count], e.x_hat[:count]
    error = (x.double() - x_hat.double()).square().flatten(1).mean(1)
    arrays: Arrays = {"x": e.space.pictures(x), "x_hat": e.space.pictures(x_hat), "error": error.cpu().numpy()}
    return arrays | _named(e, torch.arange(count)), {}


def points(e: Encoding) -> tuple[Arrays, dict[str, Any]]:
    """What is known of every point on the map."""
    tensors, detail = map_points(e, map_index(len(e.mu)))
    return {k: v.cpu().numpy() for k, v in tensors.items()}, detail


def atlas(e: Encoding) -> tuple[Arrays, dict[str, Any]]:
    """How far the draws of the prior lie from the codes, and what the decoder emits at the farthest."""
    tensors, detail = holes_of(e)
    return _arrays(e, tensors), detail


def plane(e: Encoding) -> tuple[Arrays, dict[str, Any]]:
    """The whole latent plane of a model with two latent dimensions; of one with more, a plane through three codes."""
    tensors, detail = latent_plane(e) if e.mu.shape[1] <= 2 else cut(e)
    return _arrays(e, tensors), detail


def columns(e: Encoding) -> tuple[Arrays, dict[str, Any]]:
    """The distribution of each column, real and decoded, where the space has columns."""
    tensors, detail = columns_of(e)
    return _arrays(e, tensors), detail


def explorer(e: Encoding, modules: Sequence[nn.Module] = ()) -> tuple[Arrays, dict[str, Any]]:
    """What a reader needs to walk through the latent space; the decoder itself is looked for among ``modules``."""
    tensors, detail = walk_of(e, map_index(len(e.mu)), modules)
    return _arrays(e, tensors), detail


def _arrays(e: Encoding, tensors: Mapping[str, Tensor]) -> Arrays:
    """Tensors as arrays, samples as pictures."""
    return {k: e.space.pictures(v) if k in PICTURES else v.cpu().numpy() for k, v in tensors.items()}


Exhibit = Callable[[Encoding], tuple[Arrays, dict[str, Any]]]

ROLES: dict[ArtifactRole, Exhibit] = {
    "points": points,
    "strips": strips,
    "samples": samples,
    "posterior": posteriors,
    "reconstructions": reconstructions,
    "atlas": atlas,
    "plane": plane,
    "columns": columns,
    "explorer": explorer,
}

OF_CODES: frozenset[ArtifactRole] = frozenset({"points", "posterior", "atlas"})
"""What can be shown without a decoder."""


OF_A_CONTINUUM: frozenset[ArtifactRole] = frozenset({"strips", "posterior", "atlas", "plane", "explorer"})
"""What shows points between codes, or how they fill a space: of discrete codes nothing."""


def exhibit(
    e: Encoding, folder: Path, prefix: str, row: Record, stem: str, modules: Sequence[nn.Module] = ()
) -> list[Record]:
    """Write every role of `ROLES` that this encoding can show into ``folder``; their artifact records, which say where the
    prior is the model's own. ``modules`` are those that the encoding's model is made of."""
    out = []
    told = (
        ({} if CONTINUUM.met(e) else {"discrete": True})
        | ({} if e.prior is None else {"prior": OWN})
        | ({"family": e.family} if e.family else {})
    )
    roles: dict[ArtifactRole, Exhibit] = {**ROLES, "explorer": partial(explorer, modules=modules)}
    for role, make in roles.items():
        if e.decode is None and role not in OF_CODES:
            continue
        if role in OF_A_CONTINUUM and not CONTINUUM.met(e):
            skipped = replace(row, kind="artifact", metric=role, status="skipped", reason=e.lack(CONTINUUM))
            out.append(skipped)
            continue
        out += attempt(partial(make, e), folder, prefix, row, role, f"{role}-{stem}")
    return [replace(r, detail={**r.detail, **told}) for r in out] if told else out


def attempt(
    make: Callable[[], tuple[Arrays, dict[str, Any]]],
    folder: Path,
    prefix: str,
    row: Record,
    role: ArtifactRole,
    stem: str,
) -> list[Record]:
    """The artifact record of what ``make`` gives, written like `write`; none where it is undefined here. A picture that
    fails, in whatever a user's decoder raises, is a record that says so, and costs nothing that was measured."""
    try:
        with torch.no_grad():
            arrays, detail = make()
        return [write(arrays, detail, folder, prefix, row, role, stem)]
    except Undefined:
        return []
    except Exception as error:
        return [replace(row, kind="artifact", metric=role, status="failed", reason=caught(error))]


def write(
    arrays: Arrays, detail: dict[str, Any], folder: Path, prefix: str, row: Record, role: ArtifactRole, stem: str
) -> Record:
    """Write arrays as ``folder/stem.npz`` and say so in an artifact record; ``prefix`` is the folder's final place. Raises
    ValueError for arrays that the role does not declare."""
    check(role, arrays)
    path = folder / f"{stem}.npz"
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
    described, place = {"schema": SCHEMA, **detail}, f"{prefix}/{path.name}"
    return replace(row, kind="artifact", metric=role, detail=described, path=place, sha256=file_digest(path))
