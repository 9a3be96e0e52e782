"""The small real models behind the embedded service: each loads on first use, once, and says honestly what it is."""
