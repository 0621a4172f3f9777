"""What the publisher and Detect share as programs that run for long; it imports nothing of theirs."""
