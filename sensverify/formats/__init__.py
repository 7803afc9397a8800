"""Reading and writing networks, arrays and results. Imports no torch, but for `modules`."""
