"""The memory family: exact (eidetic) and lossy (fading) memory in one block.

It imports `base`, `generation` and `probing`.
"""
