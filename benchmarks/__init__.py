"""One command a figure: ours and the peer in one run, the result as JSON under `benchmarks/results/`."""
