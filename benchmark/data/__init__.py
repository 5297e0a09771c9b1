"""Datasets, samples, ground truth, prompts. Scenes, the engine and all above may import it."""
