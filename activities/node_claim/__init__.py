"""The life of a NodeClaim that we serve ourselves: launched, joined, initialised, given back."""
