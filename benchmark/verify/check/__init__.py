"""`eidolon check`: is a run folder what it says it is? One module for each thing that is checked."""
