"""Masked autoencoders: torch and numpy in, torch out; timm is imported by ``timm_gate`` alone, and only when used."""
