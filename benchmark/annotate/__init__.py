"""Truth for images without annotations: names looked for in images, present, absent or unsure; for the command line."""
