"""The task `forget`: what a model still knows of the picture as its text grows. `run` imports it."""
