"""The parts of `bench/serve.py`: a stub engine, processes, a load generator and what is measured with them."""
