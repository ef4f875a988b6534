"""Fine-tuning: titles and pairs, the loss, the trainer, held-out tests and publication."""
