"""Takes inputs of one great length only, and says which."""


def predict(inputs):
    for x in inputs:
        if len(x) != 784:
            raise ValueError(f"X has {len(x)} features, but this model is expecting 784 features")
    return [1 for _ in inputs]
