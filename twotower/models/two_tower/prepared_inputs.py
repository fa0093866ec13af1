"""`PreparedInputs`: encoders and encoded inputs of a split, made and saved once, mapped into memory by trainings."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from twotower.data.split import Split
from twotower.features.encoded import EncodedTable
from twotower.features.profiles import Profiles
from twotower.models.two_tower.features import TowerFeatures
from twotower.models.two_tower.inputs import TowerInputs
from twotower.models.two_tower.options import FeatureOptions


@dataclass(frozen=True, slots=True, eq=False)
class PreparedInputs:
    """What a training reads besides its events; nothing in it depends on the networks.

    Attributes:
        features: encoders, fitted on the training events.
        training: inputs with the profiles of all refresh moments.
        profiles: the same profiles, with their users and moments; None where none are learnt.
        validation, test: inputs as of the moment of either examination.
    """

    features: TowerFeatures
    training: TowerInputs
    profiles: Profiles | None
    validation: TowerInputs
    test: TowerInputs

    @classmethod
    def of(cls, split: Split, options: FeatureOptions, identity_min_count: int) -> Self:
        """Learns and encodes everything anew."""
        features = TowerFeatures.fit(split.dataset, split.train, options, identity_min_count)
        training, profiles = features.training_inputs(split.dataset, split.train)
        moments = (
            features.serving_inputs(split.dataset, part.history, part.at) for part in (split.validation, split.test)
        )
        return cls(features, training, profiles, *moments)

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
            TowerInputs.load(directory / "validation", numbers, mapped=True),
            TowerInputs.load(directory / "test", numbers, mapped=True),
        )
