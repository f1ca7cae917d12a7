"""Events: what changed for a program, told at least once and in order."""
