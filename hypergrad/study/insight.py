"""What a study has learned: the part of `Study` that asks its trials, and changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hypergrad.errors import StudyError
from hypergrad.samplers.base import Record, Sampler, best_of
from hypergrad.space import Space
from hypergrad.study import checks
from hypergrad.study.importance import Importance, importance
from hypergrad.study.slices import Slice, axis_of, cut
from hypergrad.study.why import Why, why

__all__ = ["Insight"]


class Insight:
    """Importance, slices and reasons, from the trials of a study as they are now."""

    space: Space
    sampler: Sampler | None
    seed: int
    _where: str

    def _records(self) -> tuple[Record, ...]:
        """The trials by number, as samplers see them."""
        raise NotImplementedError

    def importance(self, *, warped: bool = True) -> Importance:
        """Which hyperparameters matter, measured twice.

        From the gradients that the trials reported: the mean squared derivative by each unit coordinate, an average
        over *these trials*, which a sampler that has found something good crowds around it: what matters there. And
        from a Gaussian process of values and gradients: Sobol indices, and the mean squared derivative, of its mean
        over the *whole* unit cube with uniform coordinates, choices equally likely: what matters anywhere, as far as
        the model knows the cube. See `hypergrad.study.importance` for each figure and for exploded gradients.

        Args:
            warped: whether the value counts on a logarithmic scale above the median of the trials. Otherwise a few bad
                trials can outweigh all others.

        Raises:
            StudyError: no trial has a finite value, or all have the same one and none has a gradient.
            DataError: values too large to be squared.

        Source: Sobol & Kucherenko, Math. Comput. Simul. 79 (2009), for the derivatives; Saltelli et al., Comput. Phys.
        Commun. 181 (2010), for the indices.
        """
        return importance(self.space, self._records(), self._where, self.seed, warped)

    def slice(
        self, *names: str, at: Mapping[str, Any] | int | None = None, points: int | None = None
    ) -> Slice:
        """How the model's value depends on one or two hyperparameters while the others are held.

        Args:
            names: of one or two coordinates: ``"lr"``, ``"opt/lr"``, ``"l2[3,0]"``.
            at: where the others are held: hparams, or the number of a trial; None: at the best trial.
            points: along each axis, >= 2; integers of fewer values, and choices, have them all. None: 101 for one axis,
                33 for two.

        Raises:
            UnknownNameError: no such hyperparameter.
            StudyError: a whole array, one that is inactive there, or fewer than two trials of finite value.
            SpaceError: `at` is no point of the space.
        """
        records = self._records()
        count = checks.index((101 if len(names) == 1 else 33) if points is None else points, "points")
        if count < 2:
            raise StudyError(f"points is {count}, expected at least 2")
        axes = [axis_of(self.space, name, count, self._where) for name in names]
        if isinstance(at, Mapping):
            return cut(self.space, records, axes, self.space.to_unit(at), None, self._where)
        if at is None:
            best = best_of(records)
            if best is None:
                raise StudyError(
                    f"{self._where} has no trial of finite value yet, so there is no model to slice"
                )
            at = best.number
        held = self._trial_of(records, at)
        return cut(self.space, records, axes, np.array(held.unit), held.number, self._where)

    def why(self, number: int) -> Why:
        """Why a trial was tried, in a sentence, and what came of it, in another.

        What a model expected is computed anew from the trials of smaller numbers, as they are known now. Where several
        workers asked at once, some of these had not ended when the trial was proposed, so its sampler knew less.

        Raises:
            StudyError: no trial of this number.
        """
        records = self._records()
        return why(self.space, records, self._trial_of(records, number).number, self.sampler)

    def _trial_of(self, records: tuple[Record, ...], number: Any) -> Record:
        found = checks.index(number, "the number of a trial")
        if not 0 <= found < len(records):
            held = f"its {len(records)} trials are numbered from 0" if records else "it has none yet"
            raise StudyError(f"{self._where} has no trial {found}; {held}")
        return records[found]
