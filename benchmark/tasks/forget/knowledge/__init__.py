"""What the model knew before it wrote, held fixed: questions at n = 0. `forget` imports it."""
