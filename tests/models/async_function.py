"""Is an async function, which is awaited."""


async def predict(inputs):
    return [1.0 for _ in inputs]
