"""Forced orders: the model's turn begins with its small or its large objects, and it goes on by itself."""
