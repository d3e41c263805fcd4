"""The library of behaviours that come with the platform."""
