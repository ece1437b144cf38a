"""What annotations say of a function: what it takes, how its arguments are made, what it gives."""
