"""Where `conf/` is, what composing refuses, and that no configuration can name code from elsewhere."""

import pytest

from twotower.ann.exact import ExactIndex
from twotower.config.compose import compose, conf_dir, group_files, instantiate, locate, plain
from twotower.errors import BadConfig


def test_conf_is_found_beside_the_package_in_a_checkout():
    assert (conf_dir() / "index" / "exact.yaml").is_file()


def test_conf_inside_the_package_wins_in_a_wheel(tmp_path, monkeypatch):
    package = tmp_path / "site-packages" / "twotower"
    (package / "conf").mkdir(parents=True)
    (tmp_path / "site-packages" / "conf").mkdir()  # somebody else's
    monkeypatch.setattr("twotower.config.compose.__file__", str(package / "config" / "compose.py"))
    assert conf_dir() == package / "conf"


def test_missing_conf_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("twotower.config.compose.__file__", str(tmp_path / "twotower" / "config" / "compose.py"))
    with pytest.raises(BadConfig, match="install twotower again"):
        conf_dir()


def test_override_replaces_a_value_of_a_group():
    settings = plain(compose(["index.metric=cosine", "run=x"], "build_index"))
    assert settings["run"] == "x"
    assert settings["index"]["metric"] == "cosine"
    assert settings["index"]["_target_"] == "twotower.ann.auto.AutoIndex"


def test_composing_twice_in_one_process_works():
    assert compose(["run=a"], "build_index").run == "a"
    assert compose(["run=b"], "build_index").run == "b"


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["index=fais"], "index=fais: there is no such file in conf/index; did you mean faiss"),
        (["indx=exact"], "indx"),
        (["runs_dirs=x"], "runs_dirs"),
        (["run=[1"], "'run=[1'"),
    ],
)
def test_wrong_override_is_refused_in_one_line(overrides, says):
    with pytest.raises(BadConfig) as refused:
        compose(overrides, "build_index")
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_unknown_group_choice_names_those_that_there_are():
    with pytest.raises(BadConfig, match="exact"):
        compose(["index=zzz"], "build_index")


def test_interpolation_that_leads_nowhere_is_refused():
    from omegaconf import OmegaConf

    with pytest.raises(BadConfig, match="nowhere"):
        plain(OmegaConf.create({"a": "${nowhere}"}))


def test_mandatory_value_that_is_not_given_is_refused():
    from omegaconf import OmegaConf

    with pytest.raises(BadConfig, match="path"):
        plain(OmegaConf.create({"path": "???"}))


def test_instantiate_makes_the_object_and_options_win():
    made = instantiate({"_target_": "twotower.ann.exact.ExactIndex"}, metric="cosine")
    assert isinstance(made, ExactIndex)
    assert made.metric == "cosine"


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "builtins.eval",
        "twotowerx.ann.ExactIndex",
        "twotower.runs.bundle.shutil.rmtree",  # reaches out through a module's import
        "twotower.storage.atomic.os",
        "twotower.config.compose.Path",  # imported there, defined elsewhere
        "twotower.config.compose.ALLOWED_PREFIX",
        "twotower.ann.exact.NoSuchIndex",
        "twotower",
        "",
        None,
        3,
    ],
)
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_target_outside_the_library_is_refused_at_any_depth(target, depth):
    config = {"_target_": target}
    for _ in range(depth):
        config = {"_target_": "twotower.ann.exact.ExactIndex", "metric": [config]}
    with pytest.raises(BadConfig, match="_target_"):
        instantiate(config)


def test_target_hidden_behind_an_interpolation_is_refused():
    from omegaconf import OmegaConf

    config = OmegaConf.create({"name": "os.system", "made": {"_target_": "${name}", "command": "true"}})
    with pytest.raises(BadConfig, match=r"os\.system"):
        instantiate(config.made)


def test_unknown_option_is_refused_and_named():
    with pytest.raises(BadConfig, match="dims"):
        instantiate({"_target_": "twotower.ann.exact.ExactIndex", "dims": 3})


def test_an_error_of_the_constructor_comes_through_as_it_is():
    with pytest.raises(BadConfig, match="choose one of inner_product"):
        instantiate({"_target_": "twotower.ann.exact.ExactIndex", "metric": "dot"})


def test_mapping_without_a_target_is_refused():
    with pytest.raises(BadConfig, match="_target_"):
        instantiate({"metric": "cosine"})


def test_locate_gives_the_class():
    assert locate("twotower.ann.exact.ExactIndex") is ExactIndex


def test_group_files_are_sorted():
    names = [file.stem for file in group_files("index")]
    assert names == sorted(names)
    assert "exact" in names


def test_options_of_models_are_numbers_though_a_place_may_be_called_the_same():
    settings = plain(compose(["model=content_kernel", "model.users=200"]))
    assert settings["model"]["users"] == 200
