"""`PreparedInputs`: encoders and encoded inputs of a split, made and saved once, mapped into memory by trainings."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from twotower.data.split import Split
from twotower.features.encoded import EncodedTable
from twotower.features.profiles import Profiles
from twotower.retrieval.features import TowerFeatures
from twotower.retrieval.inputs import TowerInputs
from twotower.retrieval.options import FeatureOptions
from twotower.types import Ids

SERVED = ("users", "profiles", "items")


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
        _save(self.training, directory / "training", ("users", "items"))
        _save(self.validation, directory / "validation", SERVED)
        _save(self.test, directory / "test", SERVED)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Opens what `save` wrote. Tables stay in their files until they are read; processes share the pages."""
        features = TowerFeatures.load(directory / "encoders")
        learnt = (directory / "profiles").is_dir()
        profiles = Profiles.load(directory / "profiles", mapped=True) if learnt else None
        tables = {name: _load(directory / "training" / f"{name}.safetensors") for name in ("users", "items")}
        table = profiles.table if profiles else EncodedTable.empty(1)
        return cls(
            features,
            TowerInputs(**tables, profiles=table, identities=features.identities),
            profiles,
            _served(directory / "validation", features.identities),
            _served(directory / "test", features.identities),
        )


def _save(inputs: TowerInputs, directory: Path, tables: tuple[str, ...]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name in tables:
        getattr(inputs, name).save(directory / f"{name}.safetensors")


def _served(directory: Path, identities: Ids) -> TowerInputs:
    tables = {name: _load(directory / f"{name}.safetensors") for name in SERVED}
    return TowerInputs(**tables, identities=identities)


def _load(path: Path) -> EncodedTable:
    return EncodedTable.load(path, mapped=True)
