"""What a user installs: a wheel and an editable install have every module and config, and work from any folder."""

from __future__ import annotations

import email
import itertools
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
GROUPS = sorted(folder.name for folder in (ROOT / "configs").iterdir() if any(folder.glob("*.yaml")))

# prints the folder that hadamard_glue.configs comes from, then the options of each group given, as Hydra sees them
LIST_OPTIONS = """
import sys, hadamard_glue.configs
from hydra import initialize_config_module
from hydra.core.global_hydra import GlobalHydra
print(*hadamard_glue.configs.__path__)
with initialize_config_module("hadamard_glue.configs", version_base="1.3"):
    for group in sys.argv[1:]:
        print(group, *GlobalHydra.instance().config_loader().get_group_options(group))
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what goes into the wheel: a build leaves folders behind, and would pick up those of an earlier one."""
    copy = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for name in ("hadamard_glue", "configs", "tests"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, unpacked."""
    return build("build_wheel", source, tmp_path_factory.mktemp("wheel"))


def build(hook: str, source: Path, out: Path) -> Path:
    """Call the build backend as pip does, without isolation (hence without network), and unpack what it made."""
    program = f"import sys, setuptools.build_meta as backend; backend.{hook}(sys.argv[1])"
    built = subprocess.run([sys.executable, "-c", program, str(out)], cwd=source, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    (archive,) = out.glob("*.whl")
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(out / "unpacked")
    return out / "unpacked"


def options(python_path: Path, cwd: Path, groups: list[str], first: str = "") -> tuple[Path, dict[str, list[str]]]:
    """Run LIST_OPTIONS in another process and folder; ``first`` is Python that runs before it."""
    environment = {**os.environ, "PYTHONPATH": str(python_path)}
    done = subprocess.run(
        [sys.executable, "-c", first + LIST_OPTIONS, *groups], cwd=cwd, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    folder, *lines = done.stdout.splitlines()
    return Path(folder), {line.split()[0]: line.split()[1:] for line in lines}


def in_checkout(groups: list[str]) -> dict[str, list[str]]:
    return {group: sorted(path.stem for path in (ROOT / "configs" / group).glob("*.yaml")) for group in groups}


def test_the_wheel_has_every_module_and_config_and_nothing_else(source: Path, wheel: Path) -> None:
    modules = [path.relative_to(source) for path in (source / "hadamard_glue").rglob("*") if path.is_file()]
    configs = [
        Path("hadamard_glue", path.relative_to(source))
        for pattern in ("*.yaml", "*.py")
        for path in (source / "configs").rglob(pattern)
    ]
    shipped = {path.relative_to(wheel) for path in wheel.rglob("*") if path.is_file()}
    package = {path for path in shipped if not path.parts[0].endswith(".dist-info")}
    assert package == {*modules, *configs}
    assert {"run.yaml", "sst2.yaml", "main_table.yaml"} <= {path.name for path in package}


def test_the_list_of_packages_in_pyproject_is_complete() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    folders = {path.parent.relative_to(ROOT) for path in (ROOT / "hadamard_glue").rglob("*.py")}
    assert set(listed) == {".".join(folder.parts) for folder in folders} | {"hadamard_glue.configs"}


def test_the_wheel_declares_its_command_license_and_extras(wheel: Path) -> None:
    (folder,) = wheel.glob("*.dist-info")
    assert "hadamard-glue = hadamard_glue.cli:main" in (folder / "entry_points.txt").read_text(encoding="utf-8")
    metadata = email.message_from_string((folder / "METADATA").read_text(encoding="utf-8"))
    assert metadata["License-Expression"] == "Apache-2.0"
    assert set(metadata.get_all("Provides-Extra", [])) == {"ray", "slurm", "report", "dev"}
    assert (folder / "licenses" / "LICENSE").is_file()


def test_hydra_lists_the_wheels_configs_from_another_folder(wheel: Path, tmp_path: Path) -> None:
    folder, found = options(wheel, tmp_path, GROUPS)
    assert folder == wheel / "hadamard_glue" / "configs"
    assert found == in_checkout(GROUPS)


def test_hydra_lists_an_editable_installs_configs_from_another_folder(source: Path, tmp_path: Path) -> None:
    source = shutil.copytree(source, tmp_path / "source")
    unpacked = build("build_editable", source, tmp_path)
    # Made a site folder, so that its .pth runs. On PYTHONPATH too, and its finder first, so that neither the checkout's
    # own editable install, whose finder has the same name, nor an installed wheel is what is found.
    first = f"import site, sys; site.addsitedir({str(unpacked)!r}); sys.meta_path.insert(0, sys.meta_path.pop())\n"
    nested = source / "configs" / "hydra" / "launcher"
    nested.mkdir(parents=True, exist_ok=True)
    (nested / "later.yaml").write_text("a: 1\n", encoding="utf-8")  # after the build: the files are followed
    folder, found = options(unpacked, tmp_path, [*GROUPS, "hydra/launcher"], first)
    assert folder == source / "configs"
    assert "later" in found.pop("hydra/launcher")
    assert found == in_checkout(GROUPS)


def test_constraints_pin_every_direct_dependency_of_every_extra() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9.-]+==[^+\s]+", pin) for pin in pins), "one exact version each, no local tag"
    names = {pin.partition("==")[0] for pin in pins}
    assert {re.split(r"[<>=\[]", item)[0] for item in wanted} <= names
