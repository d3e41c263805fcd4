"""The thinking of `decide`: guards, modes, methods, gains. Pure; time and seed are given."""
