"""Flows in which a person takes part, and what they share."""
