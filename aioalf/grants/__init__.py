"""Flows in which no person takes part: each a grant, by the class that speaks it."""
