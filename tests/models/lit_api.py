"""Classes of LitServe's, as people write them. Imports litserve, which need not be installed."""

import litserve as ls
from pydantic import BaseModel


class Squares(ls.LitAPI):
    def setup(self, device):
        self.model = lambda x: x**2
        self.where = device

    def decode_request(self, request):
        return request["input"]

    def predict(self, x):
        return self.model(x)

    def encode_response(self, output):
        return {"output": output, "device": self.where}


class Batches(ls.LitAPI):
    """Predicts up to three inputs as one, and keeps what belongs to each apart."""

    def __init__(self, max_batch_size=3):
        super().__init__(max_batch_size=max_batch_size)

    def setup(self, device):
        self.sizes = []

    def decode_request(self, request, context):
        context["name"] = request["name"]
        return request["number"]

    def predict(self, numbers):
        assert 1 <= len(numbers) <= 3
        return [number * 10 for number in numbers]

    def encode_response(self, output, context):
        return [context["name"], output]


class Words(ls.LitAPI):
    def setup(self, device):
        self.end = "."

    def predict(self, request):
        for word in request["text"].split():
            yield word + self.end

    def encode_response(self, output):
        for word in output:
            yield {"word": word}


class Later(ls.LitAPI):
    """The same without waiting in a thread."""

    def setup(self, device):
        self.end = "!"

    async def predict(self, request):
        for word in request["text"].split():
            yield word + self.end


class Asks(BaseModel):
    number: int


class Typed(ls.LitAPI):
    def setup(self, device):
        pass

    def decode_request(self, request: Asks):
        return request.number

    async def predict(self, number):
        return Asks(number=number + 1)


class Lacking(ls.LitAPI):
    def setup(self, device):
        pass

    def decode_request(self, request):
        return request


class Duck:
    """Derived from nothing: its methods are those."""

    def setup(self, device):
        self.device = device

    def decode_request(self, request):
        return request

    def predict(self, x):
        return {"got": x, "device": self.device}


class Stacks(ls.LitAPI):
    """Batches arrays, which are stacked."""

    def setup(self, device):
        import numpy

        self.numpy = numpy

    def decode_request(self, request):
        return self.numpy.array(request, "f8")

    def predict(self, table):
        return table.sum(axis=1)


if __name__ == "__main__":
    ls.LitServer(Squares()).run(port=8000)
