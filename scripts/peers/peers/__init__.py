"""Convlab's whole passes against those of other inference engines, in turns on one machine."""
