"""Models that give every user and every item a vector of factors."""
