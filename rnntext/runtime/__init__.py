"""Everything that runs a trained model, from the checkpoint directory alone, without torch."""
