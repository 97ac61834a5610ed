"""The image and the workflow that builds it, as far as they can be checked without a container engine."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import serve


def lines(deploy: Path) -> list[list[str]]:
    """The Dockerfile's instructions, word by word."""
    text = (deploy / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    return [line.split() for line in text.splitlines() if line and not line.startswith("#")]


@pytest.fixture
def deploy(root: Path) -> Path:
    return root / "aq_gym/service/deploy"


def test_the_image_holds_what_its_commands_need(root: Path, deploy: Path) -> None:
    copied = {name for word, *names in lines(deploy) if word == "COPY" for name in names[:-1]}
    assert {"requirements.lock", "setup.cfg", "pyproject.toml", "aq_gym", "scripts"} <= copied
    assert all((root / name).exists() for name in copied)
    metadata = (root / "setup.cfg").read_text("utf-8")
    assert set(re.findall(r"(?:file: |license_files = )(\S+)", metadata)) <= copied, "the build reads them"
    assert re.search(r"^setuptools==", (root / "requirements.lock").read_text("utf-8"), re.M), "--no-build-isolation"


def test_what_is_started_is_a_command_of_the_service(deploy: Path) -> None:
    yaml = pytest.importorskip("yaml")
    (entry,) = [json.loads(" ".join(rest)) for word, *rest in lines(deploy) if word == "ENTRYPOINT"]
    assert entry[:3] == ["python", "-m", "scripts.serve"]
    service = yaml.safe_load((deploy / "compose.yaml").read_text("utf-8"))["services"]["service"]
    pods = [x for x in yaml.safe_load_all((deploy / "kubernetes/service.yaml").read_text("utf-8"))]
    (container,) = pods[0]["spec"]["template"]["spec"]["containers"]
    for arguments in (service["command"], container["args"], ["--simulate"]):
        assert serve.parse([*entry[3:], *arguments]).host == "0.0.0.0"
    assert service["image"] == container["image"]


def test_the_workflow_follows_its_schema_and_names_what_is_there(root: Path) -> None:
    yaml, workflow = pytest.importorskip("yaml"), root / ".github/workflows/deploy.yml"
    check = [Path(sys.executable).parent / "check-jsonschema", "--builtin-schema", "vendor.github-workflows", workflow]
    done = subprocess.run(check, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = yaml.safe_load(workflow.read_text("utf-8"))
    assert (root / found["env"]["DEPLOY"] / "Dockerfile").is_file()
    assert found["env"]["IMAGE"] in (root / found["env"]["DEPLOY"] / "compose.yaml").read_text("utf-8")
    steps = [step for job in found["jobs"].values() for step in job["steps"]]
    assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", step["uses"]) for step in steps if "uses" in step)
    (tools,) = [re.search(r"'(.*)'", step["run"]) for step in steps if "requirements.lock >" in step.get("run", "")]
    assert tools and len(re.findall(tools[1], (root / "requirements.lock").read_text("utf-8"), re.M)) == 2
