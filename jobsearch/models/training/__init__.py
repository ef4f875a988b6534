"""Fine-tuning: pairs of titles, the loss, the checks, and what is published."""
