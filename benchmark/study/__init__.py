"""The memory study: its measurements, associative recall and plots. Only `cli` imports it."""
