"""Fields to tiles to vectors to one AnnData a plate."""
