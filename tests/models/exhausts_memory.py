"""Takes all the memory there is: run it under RLIMIT_AS only."""


def predict(inputs):
    hoard = []
    while True:
        hoard.append(bytearray(16 << 20))
