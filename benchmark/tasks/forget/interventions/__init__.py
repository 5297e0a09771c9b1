"""Interventions during generation: the picture or the text so far is exchanged. `forget` imports it."""
