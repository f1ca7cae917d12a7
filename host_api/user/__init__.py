"""Who the user is to a program, what it may know of them, and only after they said yes."""
