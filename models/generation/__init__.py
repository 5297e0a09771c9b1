"""Decoding: settings, sampling, reading token by token, contrast, recovery from failures. It imports `base`."""
