"""data/dvc.yaml: its commands and files exist, and where DVC is installed `dvc repro` runs them, once."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml


def commands(root: Path) -> list[list[str]]:
    """What the stages run, without DVC."""
    pipeline = yaml.safe_load((root / "data/dvc.yaml").read_text("utf-8"))
    values = {name: str(x) for part in pipeline["vars"] for name, x in part.items()}
    found = []
    for stage in pipeline["stages"].values():
        for line in [stage["cmd"]] if isinstance(stage["cmd"], str) else stage["cmd"]:
            for name, value in values.items():
                line = line.replace(f"${{{name}}}", value)
            found.append(shlex.split(line))
    return found


def test_stages_run_commands_that_exist_and_take_these_arguments(root: Path) -> None:
    for command in commands(root):
        assert command[:2] == ["python", "-m"]
        module = __import__(command[2], fromlist=["parse"])
        module.parse(command[3:])  # an unknown argument would end the test
    stages = yaml.safe_load((root / "data/dvc.yaml").read_text("utf-8"))["stages"]
    made = {out if isinstance(out, str) else next(iter(out)) for stage in stages.values() for out in stage["outs"]}
    for stage in stages.values():
        assert all(dep in made or (root / dep).exists() for dep in stage.get("deps", []))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("dvc") is None, reason="there is no command dvc; pip install dvc brings it")
def test_dvc_reproduces_the_pipeline_once(root: Path, pku_data: Path, tmp_path: Path) -> None:
    # Two minutes: the copy is compiled anew. The first stage copies the readings from AQ_GYM_DATA.
    for room in ("aq_gym", "agents", "baselines", "scripts", "data"):
        shutil.copytree(root / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__", "raw", "processed"))
    path = tmp_path / "data/dvc.yaml"
    quick = {"forecaster: ensemble": "forecaster: ridge", "seconds: 600": "seconds: 1", "episodes: 2000": "episodes: 4"}
    text = path.read_text("utf-8")
    for old, new in quick.items():
        assert old in text
        text = text.replace(old, new)
    path.write_text(text, "utf-8")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1"}

    def dvc(*arguments: str) -> str:
        done = subprocess.run(["dvc", *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    dvc("init", "--no-scm")
    dvc("repro", "data/dvc.yaml")
    assert (tmp_path / "runs/pipeline/agent/policy.safetensors").is_file()
    assert "staggered" in (tmp_path / "results/pipeline/agent.csv").read_text()
    assert (tmp_path / "data/dvc.lock").is_file()
    assert "up to date" in dvc("repro", "data/dvc.yaml")
