"""Encoders of images and names, zero-shot detectors and regions; `benchmark.annotate` makes truth with them."""
