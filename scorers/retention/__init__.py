"""What is left of the picture after n tokens of text: answers in, retention out."""
