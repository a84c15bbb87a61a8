"""Move the alias `champion` to a model version if it is statistically no worse than the champion: model version -> alias.

Besides the parameters below: --explain MODEL says why the champion is champion, --history MODEL lists the decisions,
--verify MODEL checks that alias, history, evidence and artifacts agree.
"""
