"""No file and no word of the command line can run code: each variant would leave a file behind if it did."""

import json
import os
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from twotower.commands import build_index as build_index_command
from twotower.commands import train as train_command
from twotower.config.build import make_split, read_source
from twotower.config.compose import compose, instantiate, plain
from twotower.errors import TwoTowerError
from twotower.runs.bundle import Bundle
from twotower.runs.indexing import options_in
from twotower.runs.served_run import ServedRun
from twotower.storage.manifest import write_manifest

EXACT = "twotower.ann.exact.ExactIndex"
CALLS = {
    "shell": {"_target_": "os.system", "command": "touch pwned"},
    "subprocess": {"_target_": "subprocess.getoutput", "cmd": "touch pwned"},
    "exec": {"_target_": "builtins.exec", "_args_": ["open('pwned', 'w')"]},
    "eval": {"_target_": "builtins.eval", "_args_": ["open('pwned', 'w')"]},
    "open": {"_target_": "builtins.open", "file": "pwned", "mode": "w"},
    "io": {"_target_": "io.open", "file": "pwned", "mode": "w"},
    "mkdir": {"_target_": "os.mkdir", "path": "pwned"},
    "own function": {"_target_": "twotower.storage.whole_file.write_whole_text", "text": "",
                     "path": {"_target_": "pathlib.Path", "_args_": ["pwned"]}},
    "own method": {"_target_": "twotower.storage.unfinished.Unfinished.write", "name": "pwned"},
    "own class elsewhere": {"_target_": "twotower.storage.unfinished.Unfinished", "directory": "pwned"},
    "own workspace": {"_target_": "twotower.runs.publishing.workspace", "runs_dir": "pwned", "name": "x"},
    "own command": {"_target_": "twotower.commands.train.main", "arguments": ["runs_dir=pwned", "data=own"]},
    "own console": {"_target_": "twotower.commands.console.main", "arguments": ["train", "runs_dir=pwned"]},
    "own maker": {"_target_": "twotower.config.compose.instantiate",
                  "config": {"_target_": "os.system", "command": "touch pwned"}},
    "hydra": {"_target_": "hydra.utils.instantiate", "config": {"_target_": "os.system", "command": "touch pwned"}},
    "through an import": {"_target_": "twotower.runs.publishing.shutil.copytree", "src": ".", "dst": "pwned"},
    "through a room": {"_target_": "twotower.models.base.np.save", "file": "pwned", "arr": [1]},
    "through a class": {"_target_": "twotower.models.base.Path.touch", "self": "pwned"},
    "imported class": {"_target_": "twotower.models.base.Path", "_args_": ["pwned"]},
    "numpy": {"_target_": "numpy.save", "file": "pwned", "arr": [1]},
    "partial": {"_target_": "os.system", "_partial_": True, "command": "touch pwned"},
    "partial of functools": {"_target_": "functools.partial", "func": "os.system"},
    "not recursive": {"_target_": "os.system", "_recursive_": False, "command": "touch pwned"},
    "converted": {"_target_": "os.system", "_convert_": "object", "command": "touch pwned"},
    "arguments of ours": {"_target_": EXACT, "_args_": ["cosine"]},
    "partial of ours": {"_target_": EXACT, "_partial_": True},
}  # fmt: skip
"""Calls that a configuration could ask of Hydra."""
SHELL = "{_target_: os.system, command: 'touch pwned'}"
SHELL_IN = SHELL.replace("'", "''")
SHAPES = {
    "alone": lambda call: call,
    "as an option": lambda call: {"_target_": EXACT, "metric": call},
    "in a list of lists": lambda call: {"_target_": EXACT, "metric": [[{"deep": call}]]},
    "under an option of a splitter": lambda call: {
        "_target_": "twotower.data.splitters.SampledNegatives", "base": call
    },
}  # fmt: skip
RESOLVED = {
    "made": f"{{_target_: {EXACT}, metric: \"${{oc.create:{SHELL}}}\"}}",
    "decoded": f"{{_target_: {EXACT}, metric: \"${{oc.decode:\\\"{SHELL}\\\"}}\"}}",
    "twice": "{_target_: \"${a}\", command: 'touch pwned', a: \"${b}\", b: os.system}",
    "from the environment": "{_target_: \"${oc.env:CALLED}\", command: 'touch pwned'}",
    "made whole": f"\"${{oc.create:{SHELL}}}\"",
    "an alias": f"{{a: &a {SHELL}, _target_: {EXACT}, metric: *a}}",
    "a tag": "!!python/object/apply:os.system ['touch pwned']",
    "a tag inside": f"{{_target_: {EXACT}, metric: !!python/object/apply:os.system ['touch pwned']}}",
    "a defaults list": f"{{defaults: [/model: evil], _target_: {EXACT}}}",
    "hydra": f"{{hydra: {{callbacks: {{x: {SHELL}}}}}, _target_: {EXACT}}}",
}  # fmt: skip
"""Texts of YAML files that become calls when they are resolved or loaded."""


@pytest.fixture(autouse=True)
def unharmed(tmp_path, monkeypatch):
    """An empty folder, in which no file may appear that a call of the test would make."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CALLED", "os.system")
    monkeypatch.delenv("TWOTOWER_DATA", raising=False)
    yield tmp_path
    assert not list(tmp_path.rglob("pwned"))


def test_the_payload_would_leave_a_file(tmp_path):
    os.system(CALLS["shell"]["command"])
    (tmp_path / "pwned").unlink()


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_a_configuration_names_classes_of_the_list_only(call, shape):
    with pytest.raises(TwoTowerError):
        instantiate(OmegaConf.create(shape(call)))


@pytest.mark.parametrize("text", RESOLVED.values(), ids=RESOLVED.keys())
def test_an_index_file_holds_plain_values(text, tmp_path, small_run, capsys):
    (tmp_path / "evil.yaml").write_text(text)
    with pytest.raises(TwoTowerError, match="evil"):
        options_in(tmp_path / "evil.yaml")
    assert build_index_command.main(["run=small", f"index_file={tmp_path / 'evil.yaml'}"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("text", [*RESOLVED.values(), SHELL], ids=[*RESOLVED, "plain"])
@pytest.mark.parametrize("part", ["serve", "data", "protocol"])
def test_the_configuration_of_a_foreign_run_holds_plain_values(part, text, small_run):
    directory = small_run.runs_dir / "small"
    rewritten(directory, "config.yaml", {
        "serve": f"data: {{name: cars}}\nserve: {text}\n", "protocol": f"data: {{name: cars}}\nprotocol: {text}\n",
        "data": f"data: {{name: cars, source: {text}, positives: {{}}}}\n",
    }[part])  # fmt: skip
    uses = {
        "serve": lambda: ServedRun.open(directory),
        "data": lambda: read_source(Bundle.open(directory).config()["data"]),
        "protocol": lambda: make_split(Bundle.open(directory).config(), small_run.dataset),
    }
    with pytest.raises(TwoTowerError):
        uses[part]()


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_a_saved_model_and_an_index_name_classes_of_the_list_only(call, small_run):
    directory = small_run.runs_dir / "small"
    facts = json.loads((directory / "model.json").read_text())
    rewritten(directory, "model.json", json.dumps({**facts, "class": call["_target_"]}))
    with pytest.raises(TwoTowerError):
        Bundle.open(directory).model()
    (directory / "index").mkdir()
    bundle = Bundle.open(directory)
    named = {"backend": call["_target_"], "metric": "cosine", "dim": small_run.dim, "count": small_run.n_items}
    write_manifest(directory / "index", {**named, "model": bundle.model_digest})
    with pytest.raises(TwoTowerError):
        bundle.index()


@pytest.mark.parametrize(
    "words",
    [
        ["model._target_=os.system", "+model.command='touch pwned'"],
        ["++model._target_=twotower.runs.publishing.workspace", "++model.runs_dir=pwned", "++model.name=x"],
        ["+model._partial_=true"],
        ["+model._args_=[pwned]"],
        ["data=own", "data.source.path=x.yaml", f"+data.source.extra={SHELL}"],
        ["data=own", "data.source.path=x.yaml", f"data.source={SHELL}"],
        ["data=own", "data.source.path=x.yaml", "data.source='${oc.create:${payload}}'", f"+payload={SHELL}"],
        ["data=own", "data.source.path=x.yaml", "data.source._target_=twotower.runs.publishing.workspace"],
        ["model=als", "model.dim='${oc.create:${payload}}'", f"+payload={SHELL}"],
        ["model=als", "model.dim='${oc.decode:${payload}}'", f'+payload="{SHELL}"'],
        [f"+hydra.callbacks.x={SHELL}"],
        [f"hydra.launcher={SHELL}", "--multirun"],
        [f"hydra.sweeper={SHELL}", "--multirun"],
        ["+hydra/launcher=joblib", "--multirun"],
        ["hydra.searchpath=[pkg://evil]"],
        ["hydra.searchpath=[structured://evil]"],
        ["hydra.searchpath=[file://conf,pkg://evil]"],
        ["hydra.searchpath=${oc.env:CALLED}"],
        ["--config-path", "conf", "--config-name", "evil"],
        ["--config-dir", "conf", "model=evil"],
        ["--config-dir", "conf", "data=evil"],
        ["--config-dir=conf", "model=calls_back"],
        ["--config-dir", "conf", "model=by_defaults"],
        ["hydra.searchpath=[conf]", "model=evil"],
        ["hydra.searchpath=[file://conf]", "protocol=evil", "data=own", "data.source.path=x.yaml"],
        ["data=own", "data.source.path=tag.yaml"],
        ["data=own", "data.source.path=call.yaml"],
    ],
    ids=" ".join,
)
def test_words_of_the_command_line_run_nothing(words, tmp_path, monkeypatch, capsys):
    for name, text in {
        "evil.py": "open('pwned', 'w')\n",
        "conf/model/evil.yaml": f"# @package _global_\nmodel_name: evil\nfamily: cf\nmodel: {SHELL}\n",
        "conf/model/calls_back.yaml": f"# @package _global_\nhydra: {{callbacks: {{x: {SHELL}}}}}\nmodel: {SHELL}\n",
        "conf/model/by_defaults.yaml": "# @package _global_\ndefaults: [als, evil]\n",
        "conf/data/evil.yaml": f"name: evil\nsource: {SHELL}\npositives: {{}}\nsplit: {SHELL}\n",
        "conf/protocol/evil.yaml": SHELL,
        "x.yaml": "interactions: {path: e.csv, user: u, item: i, time: t}\n",
        "e.csv": "u,i,t\n" + "".join(f"{n % 7},{n % 5},{n}\n" for n in range(90)),
        "tag.yaml": RESOLVED["a tag"],
        "call.yaml": f"interactions: {SHELL}",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    status = train_command.main([*words, "prepared=none", "progress=false"])
    printed = capsys.readouterr().err
    assert (status, printed.count("\n")) == (1, 1), printed


def test_what_an_override_makes_is_data(tmp_path):
    (tmp_path / "conf" / "index").mkdir(parents=True)
    (tmp_path / "conf" / "index" / "made.yaml").write_text(f"_target_: {EXACT}\nmetric: '${{oc.create:{SHELL_IN}}}'\n")
    settings = plain(compose(["hydra.searchpath=[file://conf]", "index=made"], "build_index"))
    with pytest.raises(TwoTowerError, match=r"os\.system"):
        instantiate(settings["index"])


def rewritten(directory: Path, name: str, text: str) -> None:
    """Changes a file of a run and writes a manifest that fits, as whoever hands out a foreign run can."""
    facts = json.loads((directory / "manifest.json").read_text())
    (directory / name).write_text(text)
    write_manifest(directory, {key: facts[key] for key in ("dataset", "model") if key in facts})
