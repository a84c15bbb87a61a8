"""The gate: a candidate beside the champion on the same rows, a decision by a policy, evidence, and the alias's history."""
