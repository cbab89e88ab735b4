"""Gaussian-process models of an outer loss, and what to evaluate next."""
