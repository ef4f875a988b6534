"""Tables made of results: leaderboard, comparison, diagnostics; and how they are printed."""
