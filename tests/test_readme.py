"""README.md: its Python runs, its tables are the registry's, its commands and links exist."""

import re
from pathlib import Path

import pytest

from aq_gym.registration import ENTRIES
from baselines.evaluation import WORDS
from baselines.studies.readme import benchmark_table
from scripts import readme_tables

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_python_runs(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    code = BLOCKS[number].replace("episodes=2000", "episodes=20").replace("learn(1_500_000)", "learn(1)")
    code = code.replace("n_envs=32", "n_envs=2").replace("n_steps=300, batch_size=1200", "n_steps=20, batch_size=40")
    exec(compile(code, f"README.md, block {number}", "exec"), {})
    assert capsys.readouterr().out.strip()


def test_there_is_python_to_run() -> None:
    assert len(BLOCKS) == 4
    statements = [line for line in BLOCKS[0].splitlines() if line.strip()]
    assert len(statements) <= 10 and "staggered" in BLOCKS[0] and 'load_pretrained("MultiDevice-v0")' in BLOCKS[0]


def test_every_word_and_every_extra_is_explained() -> None:
    for word in WORDS:
        assert f"| `{word}` |" in TEXT
    setup = (
        (ROOT / "setup.cfg").read_text(encoding="utf-8").partition("[options.extras_require]")[2].partition("\n[")[0]
    )
    listed = TEXT.partition("| extra | for |")[2].partition("\n\n")[0]
    for extra in re.findall(r"^\| `(\w+)`", listed, flags=re.MULTILINE):
        assert re.search(rf"^{extra} =$", setup, flags=re.MULTILINE), extra


def test_the_table_of_ids_is_the_registry(tmp_path: Path) -> None:
    copy = tmp_path / "README.md"
    copy.write_text(TEXT, encoding="utf-8")
    assert readme_tables.main(readme_tables.parse(["--readme", str(copy)])) == TEXT
    for entry in ENTRIES:
        assert f"`aq_gym/{entry.name}`" in TEXT


def test_a_missing_comment_is_refused(tmp_path: Path) -> None:
    copy = tmp_path / "README.md"
    copy.write_text("<!-- ids -->", encoding="utf-8")
    with pytest.raises(ValueError, match="end of ids"):
        readme_tables.main(readme_tables.parse(["--readme", str(copy)]))
    assert copy.read_text(encoding="utf-8") == "<!-- ids -->"


ROW = "MultiDevice-v0,staggered,5.0,5.0,5.0,,,,,,,0,2000,80,2,a CPU,ab12cd34ef,False"
HEADS = (
    "env_id,policy,joint_error,joint_error_low,joint_error_high,difference,difference_low,difference_high,"
    "regret_percent,regret_percent_low,regret_percent_high,training_seconds,episodes,seconds,cores,cpu,commit,dirty"
)


def test_the_benchmark_names_the_command_that_made_it(tmp_path: Path) -> None:
    path, command = tmp_path / "benchmark.csv", "python -m scripts.benchmark --training-seeds 5"
    path.write_text(f"{HEADS}\n{ROW}\n", encoding="utf-8")
    assert benchmark_table(path).endswith("Commit ab12cd34ef, `python -m scripts.benchmark`.")  # before it was kept
    path.write_text(f"{HEADS},command\n{ROW},{command}\n", encoding="utf-8")
    assert benchmark_table(path).endswith(f"Commit ab12cd34ef, `{command}`.")


def test_another_csv_is_refused(tmp_path: Path) -> None:
    copy, table = tmp_path / "README.md", tmp_path / "table.csv"
    copy.write_text(TEXT, encoding="utf-8")
    table.write_text("policy,joint_error\nstaggered,5.0\n", encoding="utf-8")
    for target in ("--readme", "--page"):
        with pytest.raises(ValueError, match=r"table.csv: expected the benchmark.csv of scripts.benchmark"):
            readme_tables.main(readme_tables.parse([str(table), target, str(copy)]))
    table.write_text(f"{HEADS}\n{ROW}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"seeds.csv is missing: a page needs .* several --training-seeds"):
        readme_tables.main(readme_tables.parse([str(table), "--page", str(copy)]))
    assert copy.read_text(encoding="utf-8") == TEXT and not (tmp_path / "README_curves.png").exists()


def test_commands_and_links_exist() -> None:
    for module in re.findall(r"python -m (scripts\.[a-z]\w*)", TEXT):
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file(), module
    for target in re.findall(r"make (\w+)", "".join(re.findall(r"```\n(.*?)```", TEXT, flags=re.DOTALL))):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE), target
    for link in re.findall(r"\]\((?!http)([^)]+)\)", TEXT):
        assert (ROOT / link).is_file(), link
