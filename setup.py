"""What pyproject.toml cannot say: the packages, found in the folders so that no list has to be kept."""

from setuptools import find_packages, setup

setup(
    packages=[
        "eidolon",
        *(f"eidolon.{name}" for name in find_packages(include=("benchmark*", "models*", "scorers*"))),
        *(f"eidolon.{name}" for name in find_packages("api")),
    ]
)
