"""How the sample data was made: photographs re-encoded, everything else drawn or synthesised from a fixed seed."""
