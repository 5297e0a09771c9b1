"""Trainings on Scenes, and the studies of the memory family. `cli` and the JSON schemas import it."""
