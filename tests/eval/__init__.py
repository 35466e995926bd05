"""Tests of the scores: invariants, naive references, public implementations as oracles."""
