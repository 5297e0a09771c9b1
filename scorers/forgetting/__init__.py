"""When a model forgets the picture: hallucination over the length of a response, and what else could explain it."""
