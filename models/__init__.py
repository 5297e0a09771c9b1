"""Models behind one interface, the memory family, training. It imports data types of `scorers` only.

The folders have a fixed order; each imports only those before it:

    base < generation < probing < memory < backends < training
"""
