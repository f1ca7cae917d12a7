"""Front ends: the programs that users look at, and the sessions in which they speak to the host for their user."""
