"""The parts of bench/peers, by topic: commands, the three file systems, the workloads, the report."""
