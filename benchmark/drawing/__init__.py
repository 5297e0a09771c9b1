"""One style for all plots of the program: sizes, colours, titles, legends. Rooms above `terminal` may import it."""
