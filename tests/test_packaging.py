"""What users install is what is in the repository: every module and every data file, and no other file."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from eidolon.scorers.core.distribution import DISTRIBUTION, EXTRAS

ROOT = Path(__file__).parent.parent
CHECKPOINTS = ROOT / "models" / "checkpoints"
PACKAGES = {
    "eidolon": ROOT / "api",
    "eidolon/benchmark": ROOT / "benchmark",
    "eidolon/models": ROOT / "models",
    "eidolon/scorers": ROOT / "scorers",
}
MADE = {"__pycache__", "build"}
"""Folders that Python and pip leave between the sources."""
INSTALLED = re.compile(r"pip install[^\n`]*?['\" ](eidolon[\w-]*)(\[([\w,]+)\])?['\"\s`]")
"""A distribution of ours that pip is told to install, with its extras."""
MEGABYTE = 1_000_000
LARGEST_WHEEL = 3 * MEGABYTE


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both distributions, built from the checkout, by name."""
    folder = tmp_path_factory.mktemp("wheels")
    for source in (ROOT, CHECKPOINTS):
        # Built elsewhere than in the checkout, where an older build's files would be packed too.
        elsewhere = tmp_path_factory.mktemp("build")
        settings = elsewhere / "settings.cfg"
        settings.write_text(f"[build]\nbuild_base = {elsewhere}\n[egg_info]\negg_base = {elsewhere}\n")
        subprocess.run(
            [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(source)],
            check=True,
            capture_output=True,
            env={**os.environ, "DIST_EXTRA_CONFIG": str(settings)},
        )
    return {wheel.name.partition("-")[0]: wheel for wheel in folder.glob("*.whl")}


def packed(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        inside = path.relative_to(folder)
        if path.is_file() and not MADE & {*inside.parts} and not inside.parts[0].endswith(".egg-info"):
            yield inside


def test_the_wheel_holds_every_file_of_the_packages_and_no_checkpoint(wheels: dict[str, Path]) -> None:
    wanted = {
        f"{package}/{path.as_posix()}"
        for package, folder in PACKAGES.items()
        for path in files(folder)
        if not (folder / path).is_relative_to(CHECKPOINTS)
    }
    assert packed(wheels["eidolon_bench"]) == wanted


def test_the_checkpoints_are_a_distribution_of_their_own(wheels: dict[str, Path]) -> None:
    wanted = {f"eidolon_checkpoints/{path.as_posix()}" for path in files(CHECKPOINTS)}
    assert packed(wheels["eidolon_checkpoints"]) == wanted - {"eidolon_checkpoints/pyproject.toml"}


def test_the_wheels_are_small(wheels: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    sizes = {name: wheel.stat().st_size for name, wheel in wheels.items()}
    with capsys.disabled():
        print("\nwheels:", ", ".join(f"{name} {size / MEGABYTE:.2f} MB" for name, size in sizes.items()))
    assert sizes["eidolon_bench"] <= LARGEST_WHEEL


def test_what_pip_is_told_to_install_is_ours() -> None:
    """PyPI's `eidolon` is another project; only `eidolon-bench` and its extras may be named."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["name"] == DISTRIBUTION
    extras = {*project["optional-dependencies"]}
    assert {*EXTRAS.values()} <= extras
    texts = [
        path.read_text(encoding="utf-8")
        for folder in ("", "docs", "api", "benchmark", "scorers", "models/b*", "examples")
        for pattern in ("*.md", "**/*.md", "*.py", "**/*.py")
        for path in (ROOT.glob(f"{folder}/{pattern}") if folder else ROOT.glob("*.md"))
    ]
    named = [found for text in texts for found in INSTALLED.findall(text)]
    assert named
    for name, _, asked in named:
        assert name in (DISTRIBUTION, "eidolon-checkpoints"), name
        assert {extra.strip() for extra in asked.split(",") if extra} <= extras
