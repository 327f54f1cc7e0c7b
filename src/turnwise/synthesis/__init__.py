"""R2S: from raw documents to grounded multi-turn dialogues, by a chain of dialogue logic or without any model."""
