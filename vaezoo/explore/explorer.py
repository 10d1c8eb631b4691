"""A trained model and its data, asked one question at a time."""

from collections.abc import Callable, Mapping
from functools import cached_property
from threading import RLock
from typing import Any

import torch
from torch import Tensor

from vaezoo.data.datamodule import DataModule
from vaezoo.distributions import noise
from vaezoo.errors import UsageError
from vaezoo.evaluate.mode import evaluating
from vaezoo.explore.codes import CodeMaps, Maps
from vaezoo.explore.examples import Examples, labels, within
from vaezoo.explore.latents import EXPLORE, Latents
from vaezoo.explore.neighbours import SPACES, Found, Neighbours
from vaezoo.explore.paths import support_of, way
from vaezoo.samplers.codes import MOST as MOST_FITTED
from vaezoo.samplers.fit import check, fit
from vaezoo.variational import Variational

CODES = 1000  # test examples that show where codes lie
MOST = 100  # pictures in one answer
ALTERNATIVES = 12  # other codes that are shown for a cell

Answer = dict[str, Any]


class Explorer:
    """Decodes, encodes, draws, interpolates, changes codes and looks for neighbours; answers are plain values.

    Pictures are URLs of PNGs. An example is named by its position in the test split; it also gives the condition of a
    conditional model, in which ``label`` replaces its own. Several threads may ask at once.

    Args:
        model: any variant; stays in eval mode, with schedules at their end.
        data: after ``setup``.
        about: what else there is to say, such as the name of the run.

    Raises:
        UsageError: by each method, for what the model cannot have and for values out of range.
    """

    def __init__(self, model: Any, data: DataModule, about: Mapping[str, Any] | None = None) -> None:
        with evaluating(model):  # leaves schedules at their end
            model.eval()
        self.model, self.data, self.told = model.eval(), data, dict(about or {})
        self.examples = Examples(model, data.split("test"))
        self._noise, self._slow = RLock(), RLock()
        self.reasons: dict[str, str | None] = {}
        with torch.no_grad():
            some = self.examples.first(min(CODES, len(self.examples)))
            self._try("pictures", self.examples.check_pictures)
            self.latents = self._try("sliders", lambda: Latents(model, some, self.examples.condition(some)))
            self.maps = self._try("codes", lambda: CodeMaps(model, self.examples.first(1)))
            self.way = self._try("interpolate", lambda: way(model))
            self.labels = self._try("labels", self.examples.switch) or []
            self._try("draw", self._check_drawing)

    def about(self) -> Answer:
        """What the model is and has; ``reasons`` says for each panel why it is not there, or None."""
        latents, shapes = self.latents, self.model.shapes
        return {
            **self.told,
            "event": shapes.event,
            "latent": shapes.latent,
            "support": support_of(self.model),
            "test": len(self.examples),
            "reasons": self.reasons,
            "source": "the prior"
            if isinstance(self.model, Variational)
            else "a mixture of Gaussians fitted to the codes",
            "labels": self.labels,
            "label_names": self.data.label_names,
            "way": self.way and self.way.name,
            "ranked_by": latents and latents.ranked_by,
            "dimensions": latents and latents.dimensions,
            "levels": self.maps and self.maps.levels,
        }

    def thumbnails(self, start: int = 0, count: int = 40) -> Answer:
        """Test examples from position ``start``, at most 100."""
        start = within("start", start, len(self.examples))
        self.examples.check_pictures()
        batch = self.examples.split[start : start + within("count", count, MOST + 1)]
        found = enumerate(zip(labels(batch), map(self.examples.picture, batch.x), strict=True), start)
        return {"examples": [{"index": i, "label": label, "picture": picture} for i, (label, picture) in found]}

    @torch.no_grad()
    def encode(self, index: int, label: int | None = None) -> Answer:
        """The posterior mean of a test example, or its codes, and what they decode to; ``label`` is for the decoder."""
        batch, c = self.examples.one(index)
        original = {"original": self.examples.picture(batch.x[0]), "label": labels(batch)[0]}
        if self.maps:
            return {**original, **self.decode(codes=self.maps.of(batch.x, c), index=index, label=label)}
        z = self.model.encode(batch.x, c)
        if self.latents:
            return {**original, **self.decode(self.latents.values(z[0]), index=index, label=label)}
        return {**original, "picture": self._decoded(z, self.examples.one(index, label)[1])[0]}

    @torch.no_grad()
    def decode(
        self,
        latent: list[float] | None = None,
        codes: Maps | None = None,
        index: int = 0,
        label: int | None = None,
        moved: int | None = None,
    ) -> Answer:
        """The mean of p(x|z) of a latent or of codes, and the latent as it was put back where latents live.

        Args:
            latent: what `encode` gave, changed.
            codes: what `encode` gave, changed.
            index: the test example whose condition is used.
            label: another label for it.
            moved: the dimension that was changed last.
        """
        _, c = self.examples.one(index, label)
        if codes is not None:
            return {"codes": codes, "picture": self._decoded(self._has(self.maps, "codes").latent([codes], c), c)[0]}
        z = self._has(self.latents, "sliders").latent(latent or [], moved)
        return {"latent": self.latents.values(z), "picture": self._decoded(z[None], c)[0]}

    @torch.no_grad()
    def draw(self, seed: int = 0, index: int = 0, label: int | None = None) -> Answer:
        """One latent from the prior, or from the mixture that takes its place, and its picture."""
        _, c = self.examples.one(index, label)
        z, codes = self._draws(1, seed, c)
        found = {"codes": codes[0]} if codes else {"latent": self.latents.values(z[0])} if self.latents else {}
        return {**found, "picture": self._decoded(z, c)[0]}

    @torch.no_grad()
    def interpolate(self, a: int, b: int, steps: int = 11, label: int | None = None) -> Answer:
        """Pictures on the way from the latent of one test example to that of another, told what the first is told."""
        way = self._has(self.way, "interpolate")
        t = torch.linspace(0, 1, within("steps", steps, MOST + 1, 2), device=self.model.device)
        ends = [self.model.encode(batch.x, c)[0] for batch, c in map(self.examples.one, (a, b))]
        if support_of(self.model) == "sphere":
            ends = [end / end.norm() for end in ends]  # the mean of q lies inside
        pictures = self._decoded(way.points(*ends, t.to(ends[0])), self.examples.one(a, label)[1])
        return {"way": way.name, "pictures": pictures}

    @torch.no_grad()
    def usage(self) -> Answer:
        """How often each code occurs over the test split, at each level."""
        with self._slow:
            return {"levels": self._usage}

    @torch.no_grad()
    def alternatives(self, codes: Maps, level: int, position: int, index: int = 0, label: int | None = None) -> Answer:
        """What the most frequent codes would look like in one cell of the map, the most frequent first."""
        maps = self._has(self.maps, "codes")
        maps.checked(codes)
        book = maps.book(within("level", level, len(codes)), within("position", position, len(codes[level])))
        chosen = [code for code, _ in self.usage()["levels"][level]["books"][book]["counts"][:ALTERNATIVES]]
        changed = [[list(one) for one in codes] for _ in chosen]
        for one, code in zip(changed, chosen, strict=True):
            one[level][position] = code
        _, c = self.examples.one(index, label)
        pictures = self._decoded(maps.latent(changed, c), c)
        return {"codes": [{"code": code, "picture": p} for code, p in zip(chosen, pictures, strict=True)]}

    @torch.no_grad()
    def neighbours(self, n: int = 8, seed: int = 0, label: int | None = None) -> Answer:
        """Draws and, for each, the nearest training examples in pixels and in features of the encoder.

        ``percentiles`` say how many percent of test examples, and of their reconstructions, come nearer to one. The
        draws of a conditional model are told what the first test examples are told.
        """
        batch = self.examples.first(within("n", n, MOST + 1, 1))
        c = self.examples.condition(batch, label)
        z, _ = self._draws(n, seed, c)
        x = self.model.decode(z, c).mean
        with self._slow:
            found = self._neighbours.find(x, c)
            samples = [
                {"picture": self.examples.picture(one)}
                | {space: self._near(space, found[space], i) for space in SPACES}
                for i, one in enumerate(x)
            ]
            return {"training": len(self._neighbours.train), "reference": self._neighbours.size, "samples": samples}

    @cached_property
    def _neighbours(self) -> Neighbours:
        return Neighbours(self.model, self.data.split("train"), self.examples.split)

    @cached_property
    def _usage(self) -> list[Answer]:
        return self._has(self.maps, "codes").count(self.examples.split)

    @cached_property
    def _sampler(self) -> Callable[[int], Tensor] | None:
        """None for the model's own prior."""
        return None if isinstance(self.model, Variational) else fit("mixture", self.model, self.data)

    def _draws(self, n: int, seed: int, c: Tensor | None) -> tuple[Tensor, list[Maps] | None]:
        """n latents with conditions ``c [n, *condition]``, and their codes."""
        self._has(True, "draw")
        with self._noise:  # there is one source of noise
            sampler = self._sampler
            with torch.no_grad(), noise.seeded(EXPLORE, within("seed", seed, 2**31)):
                if self.maps:
                    codes = [self.maps.draw(None if c is None else c[i : i + 1]) for i in range(n)]
                    return self.maps.latent(codes, c), codes
                return sampler(n) if sampler else self.model.ancestral(n, c), None

    def _decoded(self, z: Tensor, c: Tensor | None) -> list[str]:
        """Pictures of n latents that share a condition, or have one each."""
        c = None if c is None else c.expand(len(z), *c.shape[1:])
        return [self.examples.picture(x) for x in self.model.decode(z, c).mean]

    def _near(self, space: str, found: Found, i: int) -> Answer:
        distances, positions = found.distance[i].tolist(), found.position[i].cpu()
        train = self._neighbours.train[positions]
        rows = zip(positions.tolist(), labels(train), distances, map(self.examples.picture, train.x), strict=True)
        nearest = [dict(zip(("index", "label", "distance", "picture"), row, strict=True)) for row in rows]
        return {"nearest": nearest, "percentiles": self._neighbours.percentiles(space, distances[0])}

    def _check_drawing(self) -> None:
        if isinstance(self.model, Variational):
            return
        check("mixture", self.model)
        if (size := torch.Size(self.model.shapes.latent).numel()) > MOST_FITTED:
            raise UsageError(f"there is no prior, and codes of {size} values are too many for a mixture in its place")

    def _try(self, panel: str, make: Callable[[], Any]) -> Any:
        """What is made, or None and a reason for its panel."""
        self.reasons[panel] = None
        try:
            self.examples.check_pictures()
            return make()
        except UsageError as reason:
            text = str(reason)
            self.reasons[panel] = f"{text[0].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"
            return None

    def _has(self, part: Any, panel: str) -> Any:
        if reason := self.reasons[panel]:
            raise UsageError(reason)
        return part
