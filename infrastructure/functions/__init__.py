"""What runs in AWS Lambda, each module by itself: constructs read them as text, and nothing here imports them."""
