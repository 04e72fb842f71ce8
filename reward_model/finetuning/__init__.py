"""A language model fine-tuned into a reward model: LoRA, and heads on the state of an answer's last token."""
