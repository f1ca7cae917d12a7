"""Messages from programs to their users: subscribed to, from templates, rendered by the host."""
