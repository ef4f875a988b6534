"""Tables of results: leaderboard, comparison and diagnostics, and their text formats."""
