"""Recipes: data, model and hyperparameter space, and the trainers built from them."""
