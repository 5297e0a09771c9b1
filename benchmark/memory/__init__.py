"""Studies of the memory family: what each memory keeps, and for how long."""
