"""Training unrolled: problems, the compiled step, batches and trajectories."""
