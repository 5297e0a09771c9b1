"""`python -m eidolon.benchmark`, for launchers that start modules."""

from eidolon.benchmark.cli import main

main()
