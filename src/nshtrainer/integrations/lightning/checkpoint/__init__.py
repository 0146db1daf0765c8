"""What a Lightning checkpoint stores beside the weights, and how a run resumes from it."""
