"""What sections measure on a published run: all that it has, and nothing that its model lacks."""

import json
from pathlib import Path

import pytest

from twotower.commands import evaluate, train

SHOP = Path(__file__).parents[2] / "examples" / "own_data" / "shop.yaml"


@pytest.mark.parametrize(
    ("model", "lacks"), [("als", {"scores", "training"}), ("popular", {"scores", "training", "vectors", "index"})]
)
def test_a_run_is_measured_for_what_its_model_has(model, lacks, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert train.main([f"model={model}", "run=r", "data=own", f"data.source.path={SHOP}", "progress=false"]) == 0
    words = ("run=r", "n_candidates=20", "eval.baselines=[popular]", "eval.baseline=popular", "eval.resamples=20")
    assert evaluate.main(list(words)) == 0
    facts = json.loads((tmp_path / "runs" / "r" / "figures" / "insights.json").read_text())
    fields = {
        "stages": {"n_users", "stages"}, "index": {"index", "frontier"}, "scores": {"scores", "reliability"},
        "popularity": {"exposure"}, "training": {"curves"}, "vectors": {"vectors"}, "examples": {"examples"},
        "repeat": {"commands"},
    }  # fmt: skip
    measured = set().union(*(names for section, names in fields.items() if section not in lacks))
    assert set(facts) == {"run", *measured}
