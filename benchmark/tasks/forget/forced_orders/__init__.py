"""Forced orders: a turn begins with its small or its large objects. `forget` imports it."""
