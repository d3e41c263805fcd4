"""The rooms: each one thing that a plant needs done; none knows another."""
