"""Learned probes: which absent objects a model is likeliest to invent. `models` and `benchmark` import it."""
