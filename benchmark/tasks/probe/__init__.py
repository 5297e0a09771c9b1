"""The task `probe`: yes/no questions about objects of any annotated dataset. `run` imports it."""
