"""What the host keeps of a user or a program: given out whole, and taken away whole."""
