"""One file a peer; each has ``LIBRARY``, ``DISTRIBUTION``, ``VARIANTS`` and ``build(workload, variant)``.

``build`` returns two functions of no arguments, both for all T steps from the workload's initial parameters:

    train()          -> float                     outer loss after training
    hypergradient()  -> (float, tree of arrays)   the same, and its derivative by every hyperparameter

The tree has the structure of ``workload.hparams``; its leaves are NumPy arrays of the workload's dtype.
A peer imports its library inside ``build``, so that reading these constants costs nothing.
"""
