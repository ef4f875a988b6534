"""Offline evaluation: benchmarks, runs, metrics and the leaderboard."""
