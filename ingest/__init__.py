"""Read titles, check them, embed them and put them into a store."""
