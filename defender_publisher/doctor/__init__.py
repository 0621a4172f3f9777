"""The doctor: what keeps reports from arriving, found rung by rung, and the one thing to do about it."""
