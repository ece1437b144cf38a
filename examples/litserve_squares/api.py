"""A LitAPI, as LitServe's own guide begins with one, and one that streams."""

import litserve as ls


class Squares(ls.LitAPI):
    """Answers the square of a number."""

    def setup(self, device):  # noqa: ARG002 - the device that --device names, or cpu
        """Make the model; called once in each replica."""
        self.model = lambda x: x**2

    def decode_request(self, request):
        """Take the number out of a request."""
        return request["input"]

    def predict(self, x):
        """Compute."""
        return self.model(x)

    def encode_response(self, output):
        """Put the output into an answer."""
        return {"output": output}


class Words(ls.LitAPI):
    """Yields the words of a text."""

    def setup(self, device):
        """Nothing has to be made."""

    def predict(self, request):
        """Yield them one by one."""
        yield from request["text"].split()


if __name__ == "__main__":
    ls.LitServer(Squares()).run(port=8000)
