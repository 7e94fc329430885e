"""What `import babysit` offers, and what it must not cost."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import babysit
from babysit.cli.commands import COMMANDS

ROOT = Path(__file__).parents[1]
HEAVY = {
    "sqlalchemy",
    "optuna",
    "matplotlib",
    "starlette",
    "typer",
    "ray",
    "sklearn",
    "rich",
    "jinja2",
    "pyarrow",
}


def loaded(code: str) -> set[str]:
    """Lists the packages that a new Python has loaded after some code."""
    program = f"import sys\n{code}\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stderr.split()}


def test_importing_babysit_loads_no_heavy_package():
    assert not (HEAVY | {"torch", "numpy"}) & loaded("import babysit")
    assert "torch" in loaded("import babysit; babysit.check")


def test_the_public_names_load_no_heavy_package():
    assert not HEAVY & loaded("import babysit; [getattr(babysit, name) for name in babysit.__all__]")


@pytest.mark.parametrize("words", ["--help", "--version", "rules", "rules dead_units", "new mine.py", "runs"])
def test_a_command_that_trains_nothing_starts_without_torch(words, tmp_path):
    code = (
        f"import os; os.chdir({str(tmp_path)!r}); sys.argv = {['babysit', *words.split()]!r}\n"
        "from babysit.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass"
    )
    packages = loaded(code)
    assert "typer" in packages
    assert "torch" not in packages


@pytest.mark.slow
def test_the_test_above_can_fail():
    assert "sqlalchemy" in loaded("import babysit.store.writer")


@pytest.mark.slow
def test_a_search_loads_no_optimizer_of_torchs():
    """torch.optim brings in torch._dynamo, which costs seconds that a short search cannot repay."""
    code = (
        "import sys; from babysit.session.jobs.search import *; from babysit.session.jobs.job import *\n"
        "from pathlib import Path; import tempfile\n"
        "with tempfile.TemporaryDirectory() as folder:\n"
        "    job = Job('digits', folder=Path(folder))\n"
        "    run_search(job, open_job(job), SearchSettings(stages='coarse:2x1'))\n"
        "print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "torch._dynamo" not in loaded.split()
    assert "sklearn" not in loaded.split()


def test_the_public_names():
    assert set(babysit.__all__) == {
        "BabysitError",
        "Hyperparameters",
        "InputError",
        "Recipe",
        "Report",
        "StopRequested",
        "Study",
        "check",
        "choice",
        "data",
        "integer",
        "load",
        "log_uniform",
        "nn",
        "open",
        "powers_of_ten",
        "save_report",
        "search",
        "train",
        "uniform",
        "verify",
        "watch",
        "when",
    }
    assert set(babysit.__all__) <= set(dir(babysit))
    assert all(getattr(babysit, name) is not None for name in babysit.__all__)
    assert callable(babysit.search)
    with pytest.raises(AttributeError, match=r"has no attribute 'loguniform': write log_uniform"):
        _ = babysit.loguniform


def test_a_type_checker_sees_every_public_name():
    tree = ast.parse((ROOT / "src" / "babysit" / "__init__.py").read_text())
    found = [node.names for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert {name.asname for names in found for name in names} - {None} == set(babysit.__all__)


def test_every_command_is_in_the_readme():
    readme = (ROOT / "README.md").read_text()
    names = {command.name for command in COMMANDS}
    assert names == {
        "demo",
        "check",
        "train",
        "search",
        "report",
        "new",
        "runs",
        "dashboard",
        "live",
        "show",
        "compare",
        "stop",
        "touch",
        "extend",
        "commands",
        "export",
        "import",
        "lab",
        "verify",
        "diagnose",
        "rules",
        "store",
    }
    missing = {name for name in names if f"babysit {name}" not in readme and f"make {name}" not in readme}
    assert not missing


def test_every_make_target_that_the_docs_name_exists():
    texts = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    named = set(re.findall(r"`make ([a-z-]+)`", "\n".join(path.read_text() for path in texts)))
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert named <= targets
    assert named


def test_every_detector_has_a_key_of_its_own_a_problem_and_a_threshold_in_words():
    from babysit.checks.detectors import DETECTORS as CHECKS
    from babysit.checks.of_recipe import OF_RECIPE
    from babysit.diagnosis.catalogue import CATALOGUE
    from babysit.readings.detectors import DETECTORS as READINGS
    from babysit.watching.detectors import DETECTORS as WATCH
    from babysit.watching.detectors import OF_LAYERS

    every = [*CHECKS, *OF_RECIPE, *WATCH, *READINGS]
    assert len({detector.key for detector in every}) == len(every)
    for detector in every:
        problem = detector.problem
        assert CATALOGUE[problem.name] is problem
        assert detector.key.partition(".")[0] in ("checks", "watching", "readings")
        assert detector.signal.endswith("."), detector.key
        assert "\n" not in detector.signal
        assert (detector.severity or problem.severity).rank >= problem.severity.rank, detector.key
    assert all(detector.reason for detector in (*WATCH, *READINGS))  # the others' signals say it
    assert set(OF_LAYERS) < set(WATCH)


def test_every_problem_of_the_catalogue_is_found_by_some_door():
    from babysit.checks.detectors import DETECTORS as CHECKS
    from babysit.checks.of_recipe import OF_RECIPE
    from babysit.checks.questions.ask import CHECKS as QUESTIONS
    from babysit.diagnosis.catalogue import CATALOGUE
    from babysit.readings.detectors import DETECTORS as READINGS
    from babysit.watching.detectors import DETECTORS as WATCH

    found = {detector.problem.name for detector in (*CHECKS, *OF_RECIPE, *WATCH, *READINGS)}
    found |= {problem.name for problem in QUESTIONS.values()}
    assert CATALOGUE.keys() - found == {"best_at_edge_of_range"}  # `babysit diagnose` of a search's log
