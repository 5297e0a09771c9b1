"""The memory family: exact (eidetic) and lossy (fading) memory in one block. Backends, training import it."""
