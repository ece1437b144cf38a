"""What runs in a replica: loads one model, answers batches over ZeroMQ (docs/protocol.md)."""
