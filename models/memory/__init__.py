"""The memory family: exact (eidetic) and lossy (fading) memory in one block, and VL models built of it."""
