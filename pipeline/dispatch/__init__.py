"""The only package that waits for the network: transports, admission, retry, budget and the worker pool."""
