"""Published numbers: where their raw responses are, and whether they come out here. The command line may import it."""
