"""The run-time side of clusters and endpoints. It outlives snapshots."""
