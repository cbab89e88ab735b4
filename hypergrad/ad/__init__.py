"""The differentiation engine: plain NumPy functions to Programs, their derivatives, and their execution."""
