"""Docker images of models: their names, their build contexts, building and trying them."""
