"""Answers to published question benchmarks, scored from files. The task registry imports it."""
