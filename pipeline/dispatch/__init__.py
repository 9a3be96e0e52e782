"""The only room that awaits the network: transports, admission, retry, budget and the worker pool."""
