"""Measurements within a text: teacher forcing, interviews, image dependency. It imports `base` and `generation`."""
