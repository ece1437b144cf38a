"""Is an async function, which servd does not call."""


async def predict(inputs):
    return [1.0 for _ in inputs]
