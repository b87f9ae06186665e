"""Chinese marketing-compliance checking for city-customised commercial medical insurance (惠民保)."""

__version__ = "0.1.0"
