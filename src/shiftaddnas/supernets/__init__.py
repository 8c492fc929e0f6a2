"""What every supernet offers. The supernets themselves live with their task."""

from shiftaddnas.supernets.supernet import Supernet

__all__ = ["Supernet"]
