"""What makes several nodes one broker: the engine below them, the streams between them, who is alive."""
