"""Backends: from a Program to an executable; the only place that knows how a Program runs."""
