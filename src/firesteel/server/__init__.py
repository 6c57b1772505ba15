"""The HTTP server: the APIs that clients already speak, over the same `run()` and backends as everything else."""
