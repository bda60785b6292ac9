"""What inframe asks of the operating system, and what this machine can guarantee. Linux only; standard library only."""
