"""Takes all the memory it may have, which it limits itself, on a negative first number."""

import resource

LIMIT = 4 << 30

resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))


def predict(inputs):
    hoard = []
    while any(x[0] < 0 for x in inputs):
        hoard.append(bytes(256 << 20))  # zeros that are never touched take no real memory
    return [float(sum(x)) for x in inputs]
