"""Benchmarks of long captions, scored from files. The task registry imports it."""
