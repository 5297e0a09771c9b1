"""Run folders as tables for other programs. The command line imports it; it imports the store."""
