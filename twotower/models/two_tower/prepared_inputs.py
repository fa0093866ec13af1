"""`PreparedInputs`: encoders and encoded inputs of a split, made and saved once, mapped into memory by trainings."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

from twotower.data.split import Split
from twotower.features.encoded import EncodedTable
from twotower.features.profiles import Profiles
from twotower.models.two_tower.features import TowerFeatures
from twotower.models.two_tower.inputs import TowerInputs
from twotower.models.two_tower.options import FeatureOptions


@dataclass(frozen=True, eq=False)
class PreparedInputs:
    """What a training reads besides its events; nothing in it depends on the networks.

    Attributes:
        features: encoders, fitted on the training events.
        training: inputs with the profiles of all refresh moments.
        profiles: the same profiles, with their users and moments; None where none are learnt.
        asked: gives the inputs as of the moment of "validation" or "test".
    """

    features: TowerFeatures
    training: TowerInputs
    profiles: Profiles | None
    asked: Callable[[str], TowerInputs]

    @cached_property
    def validation(self) -> TowerInputs:
        """Inputs as of the moment of validation, made when first asked for."""
        return self.asked("validation")

    @cached_property
    def test(self) -> TowerInputs:
        """Inputs as of the moment of the test, made when first asked for."""
        return self.asked("test")

    @classmethod
    def of(cls, split: Split, options: FeatureOptions, identity_min_count: int) -> Self:
        """Learns and encodes everything anew."""
        features = TowerFeatures.fit(split.dataset, split.train, options, identity_min_count)
        training, profiles = features.training_inputs(split.dataset, split.train)

        def asked(part: str) -> TowerInputs:
            holdout = split.validation if part == "validation" else split.test
            return features.serving_inputs(split.dataset, holdout.history, holdout.at)

        return cls(features, training, profiles, asked)

    def save(self, directory: Path) -> None:
        """Files in a directory that is made if needed."""
        self.features.save(directory / "encoders")
        if self.profiles is not None:
            self.profiles.save(directory / "profiles")
        self.training.save(directory / "training", ("users", "items"))
        self.validation.save(directory / "validation")
        self.test.save(directory / "test")

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Opens what `save` wrote. Tables stay in their files until they are read; processes share the pages."""
        features = TowerFeatures.load(directory / "encoders")
        learnt = (directory / "profiles").is_dir()
        profiles = Profiles.load(directory / "profiles", mapped=True) if learnt else None
        table = profiles.table if profiles else EncodedTable.empty(1)
        numbers = features.identities
        return cls(
            features,
            TowerInputs.load(directory / "training", numbers, profiles=table, mapped=True),
            profiles,
            lambda part: TowerInputs.load(directory / part, numbers, mapped=True),
        )
