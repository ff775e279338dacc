"""Training and evaluation: data, the recipe, the loop, and what a trained network reaches."""
