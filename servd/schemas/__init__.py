"""What a signature says, put to use: inputs to rows, wrong inputs to words, examples.

`compiled.py` is the door: it takes a `Signature` (model_runtime/signature.py) and reads inputs by
it, fast where all is well. What is not is looked at again by `checking.py`, which says what a
schema means.

Called by http, and may be by deploying and cli. May import datatypes and model_runtime.signature;
knows neither HTTP nor any wire format.
"""
