"""The retention probe: which questions are asked after which texts, and the file and plot of what came out."""
