"""Models behind one interface, the memory family, training. Imports only data types of `scorers`."""
