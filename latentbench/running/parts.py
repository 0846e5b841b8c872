"""The parts of a run and what each depends on. A part's key is a hash of that, and of nothing else.

    judge      the data
    train      the data; the model, its fields and latent size; how it is trained; the seed, and on a GPU the seeds that
               share its stack (there sums may be rounded in another order in a larger one; a processor trains a seed
               alone, to the same bits in any block)
    measure    the weights, the metric and its parameters, and the judge where the metric needs it; pictures: the judge
    reference  the latent size, the metric and its parameters, and the judge where the metric needs it
    map        the weights
    time       the weights of all models, since they are timed in turns; the step they are trained by

and each on the source of what computes it, on the data and on the kind of device. Not on the run: which other metrics,
seeds and models it asks for is nothing to a part. Nor on the machine: a run may be resumed on another one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import torch

from latentbench import catalog
from latentbench.catalog import ModelSpec
from latentbench.config import Run
from latentbench.core import JUDGE, Dataset, Metric
from latentbench.measuring.scoring import declared
from latentbench.records import digest
from latentbench.running.sources import code, module_of, own_code
from latentbench.running.unit import Part, UnitKind
from latentbench.training.fit import Plan
from latentbench.training.stacking import stacks

BLOCK = {"cpu": 3, "cuda": 12}
"""Seeds in a unit: few enough to spread over cores and to lose little in a kill, many enough to share one start; on a
GPU, which trains them in one stack, as many as a usual run has."""

MAPPED = 5
"""Models whose latent space is drawn as a map: as many as the page shows in pictures."""

KEY = 24
"""Hex digits of a key: no two of any number of runs fall together."""

WORKER = "latentbench.running.worker"
TRAINING = "latentbench.training.stacking"
SCORING, BASELINES = "latentbench.measuring.scoring", "latentbench.measuring.baselines"
PICTURES, TIMING = "latentbench.measuring.artifacts", "latentbench.measuring.timing"
JUDGING = "latentbench.measuring.judge"
DUPLICATES = "latentbench.datasets.duplicates"

Weights = Mapping[tuple[str, int], str]
"""Model and seed -> the key of the part with their weights."""


@dataclass(frozen=True)
class Parts:
    """Makes the parts of one run; ``trained``: weights that are there and taken as they are, whatever they were made by."""

    run: Run
    dataset: Dataset
    models: Sequence[ModelSpec]
    device: str
    trained: Weights
    pictured: bool = True
    """Whether pictures are made, and times taken: of one split of the data, where there are several."""

    def every(self) -> list[Part]:
        """All parts, each after those it needs."""
        metrics = list(catalog.find_metrics(self.run.metrics).values())
        judged = self.dataset.train.y is not None and any(JUDGE in m.needs for m in metrics)
        judge = self._judge() if judged else None
        weights = {(p.model, p.seed): p for p in self._train()}
        firsts = tuple(weights[m.text, self.run.seeds[0]].key for m in self.models)
        return [
            *([judge] if judge else ()),
            *weights.values(),
            *(self._maps(firsts) if self.pictured else ()),
            *self._references(metrics, judge),
            *(p for w in weights.values() for p in self._measures(w, metrics, judge)),
            *([self._time(firsts)] if self.pictured else ()),
        ]

    @cached_property
    def _homes_of_models(self) -> dict[str, str]:
        return {model.text: _home(model) for model in self.models}

    def _key(self, kind: UnitKind, depends: Any, *modules: str, device: bool = True) -> str:
        sources = [own_code(WORKER), *map(code, modules)]
        on = {"kind": kind, "on": depends, "data": self.dataset.sha256, "code": sources}
        return digest({**on, "device": self.device} if device else on, KEY)

    def _judge(self) -> Part:
        return Part(key=self._key("judge", None, JUDGING, device=False), kind="judge")

    def _train(self) -> Iterator[Part]:
        """Weights, in the order they are trained in: of every model those of the first seeds come first."""
        run = self.run
        how = asdict(Plan.of(run))
        size = BLOCK[self.device]
        for block in (run.seeds[i : i + size] for i in range(0, len(run.seeds), size)):
            stack = block if stacks(torch.device(self.device), len(block)) else None
            for model in self.models:
                for seed in block:
                    depends = [model.text, model.params, model.latent_dim, how, seed, stack]
                    key = self.trained.get((model.text, seed)) or self._key("train", depends, TRAINING, _home(model))
                    yield Part(key=key, kind="train", model=model.text, seed=seed, latent_dim=model.latent_dim)

    def _maps(self, firsts: Sequence[str]) -> Iterator[Part]:
        for model, weights in zip(self.models[:MAPPED], firsts, strict=False):
            key = self._key("map", weights, PICTURES, _home(model))
            yield Part(key=key, kind="map", model=model.text, seed=self.run.seeds[0], weights=(weights,))

    def _references(self, metrics: Sequence[Metric], judge: Part | None) -> Iterator[Part]:
        """What each metric reads on the baselines, on real images, on junk and where nothing is wrong depends on the
        latent size too. The data look the same at every size."""
        for size in dict.fromkeys(m.latent_dim for m in self.models):
            for metric in metrics:
                needed = _needed(metric, judge)
                depends = [needed, size, _declaration(metric)]
                key = self._key("reference", depends, SCORING, BASELINES, *_homes(metric))
                yield Part(key=key, kind="reference", latent_dim=size, metric=metric.name, judge=needed)
            if self.pictured and size == self.models[0].latent_dim:
                key = self._key("reference", size, PICTURES, DUPLICATES)
                yield Part(key=key, kind="reference", latent_dim=size)

    def _measures(self, trained: Part, metrics: Sequence[Metric], judge: Part | None) -> Iterator[Part]:
        """Every metric of one model and seed; of the run's first seed also the pictures."""
        cell: dict[str, Any] = {
            "kind": "measure",
            "model": trained.model,
            "seed": trained.seed,
            "latent_dim": trained.latent_dim,
            "weights": (trained.key,),
        }
        home = self._homes_of_models[trained.model]
        for metric in metrics:
            needed = _needed(metric, judge)
            depends = [trained.key, needed, _declaration(metric)]
            key = self._key("measure", depends, SCORING, home, *_homes(metric))
            yield Part(**cell, key=key, metric=metric.name, judge=needed)
        if self.pictured and trained.seed == self.run.seeds[0]:
            seen_by = judge.key if judge else None
            key = self._key("measure", [trained.key, seen_by], SCORING, PICTURES, home)
            yield Part(**cell, key=key, judge=seen_by)

    def _time(self, firsts: tuple[str, ...]) -> Part:
        together = min(BLOCK[self.device], len(self.run.seeds))
        step = [self.run.batch_size, self.run.precision, together]
        key = self._key("time", [firsts, step], TIMING, TRAINING, *map(_home, self.models))
        return Part(key=key, kind="time", seed=self.run.seeds[0], weights=firsts)


def _needed(metric: Metric, judge: Part | None) -> str | None:
    """The judge that a metric is measured with: none, where its declaration does not ask for one."""
    return judge.key if judge and JUDGE in metric.needs else None


def _declaration(metric: Metric) -> list[Any]:
    """What a metric's declaration says, as far as its records depend on it."""
    needs = sorted(need.name for need in metric.needs)
    return [declared(metric), metric.splits, needs, metric.expects, metric.every_image]


def _home(model: ModelSpec) -> str:
    return module_of(model.builder)


def _homes(metric: Metric) -> tuple[str, ...]:
    """The modules that a metric and its anchors were written in."""
    made = [metric.compute, *([metric.references] if metric.references else [])]
    return tuple(dict.fromkeys(map(module_of, made)))
