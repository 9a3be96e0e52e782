"""The small real models of the embedded service. Each model loads once, on first use, and says honestly what it is."""
