"""Retraining a running service: what it stored, what is fitted to that, and how it compares with what runs."""
