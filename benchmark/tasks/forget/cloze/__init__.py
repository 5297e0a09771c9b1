"""The generative cloze: which names could come next after n tokens of the model's own text. `forget` imports it."""
