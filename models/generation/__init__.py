"""Decoding: settings, sampling, M3ID, recovery from out-of-memory errors. Backends import it."""
