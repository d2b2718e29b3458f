"""The worker's half of training runs.

A run's process writes curves, samples and checkpoints into the run's folder; this side prepares its pictures, starts
and watches it, holds the lease, passes on requests (pause, cancel, a new budget) and knows what an end means. Imports
no torch.
"""
