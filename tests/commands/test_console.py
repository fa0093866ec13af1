"""The console script: its help is instant, a slip is answered with the nearest command, errors are one line."""

import subprocess
import sys

import pytest

from twotower.commands.console import COMMANDS, main, run_command
from twotower.errors import BadInput

NO_TORCH = (
    "import sys; from twotower.commands.{module} import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    + ("assert 'torch' not in sys.modules, 'a help text must not import it'")
)


@pytest.mark.parametrize("module", ["console", "recommend", "build_index", "verify_index", "tune_index"])
def test_help_does_not_import_torch(module):
    run = subprocess.run([sys.executable, "-c", NO_TORCH.format(module=module)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "usage:" in run.stdout


def test_help_lists_every_command(capsys):
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert all(f"  {name} " in printed for name in COMMANDS)


def test_no_command_prints_the_help_and_fails(capsys):
    assert main([]) == 1
    assert "usage: twotower COMMAND" in capsys.readouterr().out


@pytest.mark.parametrize(("typed", "meant"), [("recomend", "recommend"), ("build", "build-index"), ("trian", "train")])
def test_unknown_command_is_answered_with_the_nearest(typed, meant, capsys):
    assert main([typed]) == 1
    assert f"did you mean {meant}" in capsys.readouterr().err


def test_command_unlike_any_is_answered_with_the_list(capsys):
    assert main(["zzz"]) == 1
    assert "there are prepare, train" in capsys.readouterr().err


def test_underscore_is_as_good_as_a_dash(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["build_index"]) == 1
    assert "type `python -m twotower.train` first" in capsys.readouterr().err


def test_version_is_printed(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip().count(".") == 2


def test_error_raised_on_purpose_is_one_line_without_traceback(capsys):
    def fail():
        raise BadInput("row 3:\n  price is NaN")

    assert run_command(fail) == 1
    printed = capsys.readouterr()
    assert printed.err == "BadInput: row 3: price is NaN\n"
    assert printed.out == ""


def test_any_other_error_says_that_it_was_not_foreseen(capsys, monkeypatch):
    assert run_command(lambda: 1 / 0) == 1
    assert "ZeroDivisionError: division by zero; this was not foreseen" in capsys.readouterr().err
    monkeypatch.setenv("TWOTOWER_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        run_command(lambda: 1 / 0)


def test_interrupt_ends_with_130(capsys):
    def interrupted():
        raise KeyboardInterrupt

    assert run_command(interrupted) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_a_reader_that_stops_early_is_no_error():
    code = (
        "from twotower.commands.console import run_command; import sys; "
        "sys.exit(run_command(lambda: print('x\\n' * 100000)))"
    )
    run = subprocess.run(f"{sys.executable} -c {code!r} | head -1", shell=True, capture_output=True, text=True)
    assert run.stdout == "x\n"
    assert run.stderr == ""


def test_module_is_the_script():
    run = subprocess.run([sys.executable, "-m", "twotower", "--help"], capture_output=True, text=True)
    assert run.returncode == 0
    assert "usage: twotower COMMAND" in run.stdout
